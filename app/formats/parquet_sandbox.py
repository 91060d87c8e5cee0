"""A first reading of files whose reader can take its whole process down, in a process of its own.

Context: Polars' Parquet reader aborts on some damaged files (a length in a page header is allocated as it stands), and no
exception can catch that. Decision: before the server itself opens an uploaded Parquet file, a child with bounded memory
reads it to its end with the same code; what it survived is read again in the server. Cost: the start of a process and a
second reading.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

from app.errors import FieldError, InvalidDataset
from app.formats import parquet

MEMORY_BYTES = 8 * 1024**3
TIMEOUT_SECONDS = 900
REFUSED = 65


def check_in_sandbox(path: Path, format: str) -> None:
    """Returns when the file can be read safely. Raises InvalidDataset."""
    if format != "parquet":
        return
    command = [sys.executable, "-m", __name__, str(path)]
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    try:
        child = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refusal("not a readable parquet file: reading it takes too long") from error
    if child.returncode:
        found = child.stdout.decode(errors="replace") if child.returncode == REFUSED else ""
        raise _refusal(found or "not a readable parquet file: it is damaged")


def scan(path: Path) -> str | None:
    """What is wrong with the file, if anything."""
    try:
        for _ in parquet.blocks(path, parquet.columns(path)):
            pass
    except InvalidDataset as error:
        return error.errors[0].detail
    return None


def _refusal(detail: str) -> InvalidDataset:
    return InvalidDataset(detail, [FieldError("/file", detail)])


def main(path: Path) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    problem = scan(path)
    sys.stdout.write(problem or "")
    return REFUSED if problem else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
