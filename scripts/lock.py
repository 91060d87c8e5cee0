"""Write `constraints.txt`: exact versions of all direct and transitive dependencies, resolved by uv from `pyproject.toml`.

torch, Triton and the CUDA libraries are left out. Each machine installs its own build of torch first and alone. The client of
this repository is left out as well.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Exact versions of all direct and transitive dependencies, for pip; Python 3.11 to 3.14 on Linux and macOS.
# `make lock` writes this file. torch and its CUDA libraries are left out: each machine installs its own build.
"""
UNPINNED = re.compile(r"(torch|triton)==|(nvidia(?!-ml-py)|cuda)-|isthmus-client|\./client")


def pins(resolved: str) -> list[str]:
    """Return the `name==version` lines of a resolution, without comments, markers and builds of torch."""
    lines = (line.partition(";")[0].strip() for line in resolved.splitlines() if line and not line.startswith("#"))
    return [line for line in lines if not UNPINNED.match(line)]


def resolve(*options: str) -> None:
    """Let uv update `constraints.txt`; it keeps the existing versions where they still fit."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--fork-strategy", "fewest", "--all-extras", "--no-annotate", "--no-header", "--no-emit-index-url"]
    subprocess.run([*command, *options, "--output-file", str(CONSTRAINTS), "pyproject.toml"], cwd=ROOT, check=True)


def main() -> None:
    """Resolve and write the file; pass the options of the command line to uv."""
    resolve(*sys.argv[1:])
    CONSTRAINTS.write_text(HEADER + "".join(f"{pin}\n" for pin in pins(CONSTRAINTS.read_text())))


if __name__ == "__main__":
    main()
