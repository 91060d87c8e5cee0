"""A small disk of its own, which a test can fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler"


@contextmanager
def mounted_disk(folder: Path, size_megabytes: int) -> Iterator[Path]:
    """Mount a file system in memory at the folder; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_megabytes}m", "isthmus-tests", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a full disk needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Use all free space of the disk, to the last byte."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(os.urandom(size)):
                    pass
            except OSError:  # it is full
                continue


def make_room(disk: Path) -> None:
    (disk / FILLER).unlink()
