"""Records of all shifts: a compressed file of arrays for each shift and seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shifts.rows import Shift

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Store:
    """The records in one folder."""

    folder: Path

    def has(self, shift: Shift, seed: int) -> bool:
        """Return whether the shift is recorded with this seed."""
        return self.path(shift.key, seed).exists()

    def keep(self, shift: Shift, seed: int, arrays: Arrays) -> None:
        """Write a record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(shift.key, seed)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        temporary.rename(path)

    def load(self, shift: Shift, seed: int) -> Arrays:
        """Read a record."""
        with np.load(self.path(shift.key, seed)) as arrays:
            return dict(arrays)

    def seeds(self, shift: Shift) -> Iterator[int]:
        """Yield the recorded seeds of a shift."""
        for path in sorted(self.folder.glob(f"{shift.key}--?.npz")):
            yield int(path.stem.rpartition("--")[2])

    def path(self, key: str, seed: int) -> Path:
        return self.folder / f"{key}--{seed}.npz"
