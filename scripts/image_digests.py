"""Print the base images of Dockerfile and docker-compose.yml by digest, as lines for `.env`.

Docker asks the registries. The content behind a digest never changes. A tag moves with each security update of its image:
run this again to take one over.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def images() -> dict[str, str]:
    """Return the tag of each `..._IMAGE` variable of docker-compose.yml."""
    return dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", (ROOT / "docker-compose.yml").read_text()))


def digest(image: str) -> str:
    """Return the digest that the registry has for a tag now, for all platforms."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    for variable, image in images().items():
        sys.stdout.write(f"{variable}={image}@{digest(image)}\n")
