"""Storage of measurements. A killed process loses one run, and several processes can share the folder.

`parts` has a file of rows and one of checks for each run; `runs.parquet` and `checks.parquet` contain all of them. A process
claims a run by a lock on its file in `claims`, which is released when the process ends.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import torch

from benchmarks.adaptation.plan import BenchmarkRun
from benchmarks.adaptation.record import Record, Row
from worker.training.trials import Weights

IDENTITY = ("task", "skewed", "method", "variant", "seed")


class Store:
    """The results in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("parts", "claims", "weights"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def is_done(self, run: BenchmarkRun) -> bool:
        """Return whether a run is finished. Failed runs are not."""
        path = self._part(run.key, "run")
        return path.exists() and pl.read_parquet(path)["error"].item() is None

    @contextmanager
    def claim(self, run: BenchmarkRun, *, wait: bool = False) -> Iterator[bool]:
        """Claim a run and return whether this process has it. With `wait`, block until it has."""
        with (self.folder / "claims" / run.key).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def keep(self, run: BenchmarkRun, identity: Row, record: Record) -> None:
        """Store weights and checks, and finally the row that marks the run as finished."""
        torch.save(record.weights, self._weights(run.key))
        self._write(self._part(run.key, "checks"), [identity | check for check in record.checks])
        self._write(self._part(run.key, "run"), [identity | record.row | {"error": None}])

    def keep_failure(self, run: BenchmarkRun, identity: Row, error: str) -> None:
        self._write(self._part(run.key, "run"), [identity | {"error": error, "seconds": None}])

    def load(self, run: BenchmarkRun) -> Record:
        """Load the record of a reference."""
        return Record(pl.read_parquet(self._part(run.key, "run")).to_dicts()[0], [], self.weights(run.key))

    def weights(self, key: str) -> Weights:
        """Load the weights of the selected network of a run."""
        weights: Weights = torch.load(self._weights(key), weights_only=True)
        return weights

    def rows(self, key: str, kind: str) -> pl.DataFrame | None:
        """Return the path of another file of a run."""
        path = self._part(key, kind)
        return pl.read_parquet(path) if path.exists() else None

    def keep_rows(self, key: str, kind: str, rows: list[Row]) -> None:
        self._write(self._part(key, kind), rows)

    def runs(self) -> pl.DataFrame:
        """Return the merged rows, one per run."""
        path = self.folder / "runs.parquet"
        return pl.read_parquet(path) if path.exists() else pl.DataFrame()

    def merge(self) -> None:
        """Merge all parts into one file. Of several runs with one name, keep the newest."""
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

    def _part(self, key: str, kind: str) -> Path:
        return self.folder / "parts" / f"{key}.{kind}.parquet"

    def _weights(self, key: str) -> Path:
        return self.folder / "weights" / f"{key}.pt"
