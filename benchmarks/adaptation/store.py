"""What was measured, kept so that a kill loses one run and processes may share the folder.

`parts` has a file of rows and one of checks for each run; `runs.parquet` and `checks.parquet` are all of them. A run that is
going on is claimed by a lock on its file in `claims`, which is gone with the process that holds it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from benchmarks.adaptation.plan import Run
from benchmarks.adaptation.record import Record, Row
from worker.evidence import Evidence
from worker.trials import Weights

IDENTITY = ("task", "skewed", "method", "variant", "seed")
EVIDENCE = ("source_features", "source_logits", "source_labels", "target_features", "target_logits")


class Store:
    """The rows of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("parts", "claims", "weights", "evidence"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def is_done(self, run: Run) -> bool:
        """A run that failed is not."""
        path = self._part(run, "run")
        return path.exists() and pl.read_parquet(path)["error"].item() is None

    @contextmanager
    def claim(self, run: Run, *, wait: bool = False) -> Iterator[bool]:
        """Whether the run is this process's; with `wait` it is in the end."""
        with (self.folder / "claims" / run.key).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def keep(self, run: Run, identity: Row, record: Record) -> None:
        """The weights, the evidence, the checks, and at last the row, by which the run is done."""
        torch.save(record.weights, self._weights(run))
        if record.evidence is not None:
            np.savez(self._evidence(run.key), **_arrays(record.evidence))
        self._write(self._part(run, "checks"), [identity | check for check in record.checks])
        self._write(self._part(run, "run"), [identity | record.row | {"error": None}])

    def keep_failure(self, run: Run, identity: Row, error: str) -> None:
        self._write(self._part(run, "run"), [identity | {"error": error, "seconds": None}])

    def load(self, run: Run) -> Record:
        """A reference."""
        weights: Weights = torch.load(self._weights(run), weights_only=True)
        return Record(pl.read_parquet(self._part(run, "run")).to_dicts()[0], [], weights)

    def runs(self) -> pl.DataFrame:
        """A row for each run that was merged."""
        path = self.folder / "runs.parquet"
        return pl.read_parquet(path) if path.exists() else pl.DataFrame()

    def merge(self) -> None:
        """Make one file of all parts: of runs with other parameters under the same name the newest."""
        runs = self._all("run")
        if runs.is_empty():
            return
        runs = runs.sort("finished").unique(IDENTITY, keep="last", maintain_order=True).sort(IDENTITY)
        runs.write_parquet(self.folder / "runs.parquet")
        checks = self._all("checks").join(runs.select("key"), on="key", how="semi")
        checks.sort(*IDENTITY, "step").write_parquet(self.folder / "checks.parquet")

    def _all(self, kind: str) -> pl.DataFrame:
        tables = [pl.read_parquet(path) for path in sorted((self.folder / "parts").glob(f"*.{kind}.parquet"))]
        return pl.concat(tables, how="diagonal_relaxed") if tables else pl.DataFrame()

    def _write(self, path: Path, rows: list[Row]) -> None:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)

    def _part(self, run: Run, kind: str) -> Path:
        return self.folder / "parts" / f"{run.key}.{kind}.parquet"

    def evidence(self, key: str) -> Evidence:
        """What the network of a run said."""
        with np.load(self._evidence(key)) as file:
            return Evidence(**{name: _wide(file[name]) for name in file.files})

    def _evidence(self, key: str) -> Path:
        return self.folder / "evidence" / f"{key}.npz"

    def _weights(self, run: Run) -> Path:
        return self.folder / "weights" / f"{run.key}.pt"


def _arrays(evidence: Evidence) -> dict[str, NDArray[Any]]:
    """Features, which are many, with half of the digits."""
    arrays = {name: getattr(evidence, name) for name in EVIDENCE}
    return {name: values.astype(np.float16) if name.endswith("features") else values for name, values in arrays.items()}


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
