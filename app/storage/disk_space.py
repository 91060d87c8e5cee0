"""Free space of disks, and the error of a full one."""

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import InsufficientStorage

_FULL = {errno.ENOSPC, errno.EDQUOT}
ADVICE = "Delete datasets, versions or batch predictions that you do not need any more, or enlarge the disk. Then try again."


def is_disk_full(error: BaseException) -> bool:
    """Return whether the error means that a disk or a quota is used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk of a folder, which may not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The space for new files on the disks of some folders, without a reserve for the database, checkpoints and logs."""

    folders: Sequence[Path]
    reserve_bytes: int

    def require(self, size_bytes: int) -> None:
        """Raise InsufficientStorage unless each disk has space for a file of this size."""
        free = self.free_bytes()
        if free < size_bytes + self.reserve_bytes:
            raise InsufficientStorage(
                f"The file needs {_megabytes(size_bytes)}, and the server has {_megabytes(free)} of free disk space, "
                f"of which it reserves {_megabytes(self.reserve_bytes)}. {ADVICE}"
            )

    def free_bytes(self) -> int:
        """Return the free space of the fullest disk."""
        return min(free_bytes(folder) for folder in self.folders)

    def full_error(self) -> InsufficientStorage:
        """Return the error of a request that met a full disk."""
        return InsufficientStorage(f"The disk of the server is full: {_megabytes(self.free_bytes())} are free. {ADVICE}")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
