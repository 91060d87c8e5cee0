"""A first read of untrusted files in a child process, for formats whose reader can abort the process.

Context: Polars' Parquet reader aborts on some damaged files (it allocates an unchecked length from a page header). No
exception handler can catch that.
Decision: before the server opens an uploaded Parquet file, a child process with bounded memory reads all of it with the same
code. If the child succeeds, the server reads the file again.
Consequences: an upload costs one more process and a second read.
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
EXIT_INVALID = 65


def check_in_sandbox(path: Path, format: str) -> None:
    """Raise InvalidDataset if the file cannot be read safely."""
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
        raise _invalid_file("not a readable parquet file: reading it takes too long") from error
    if child.returncode:
        problem = child.stdout.decode(errors="replace") if child.returncode == EXIT_INVALID else ""
        raise _invalid_file(problem or "not a readable parquet file: it is damaged")


def scan(path: Path) -> str | None:
    """Return the first error in the file, or None."""
    try:
        for _ in parquet.blocks(path, parquet.columns(path)):
            pass
    except InvalidDataset as error:
        return error.errors[0].detail
    return None


def _invalid_file(detail: str) -> InvalidDataset:
    return InvalidDataset(detail, [FieldError("/file", detail)])


def main(path: Path) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    problem = scan(path)
    sys.stdout.write(problem or "")
    return EXIT_INVALID if problem else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
