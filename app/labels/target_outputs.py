"""The predictions of a version and of its source-only model for the rows of the target: `target.parquet` of the version."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

TARGET_FILE = "target.parquet"


@dataclass(frozen=True, slots=True)
class TargetOutputs:
    """One element for each of n rows of the target, or of a sample of them.

    `rows` are numbers from 1. `confidence` is the probability of the `predicted` class, `margin` its lead over the next
    class. `components` (n, d) are the first principal components of the features. The job learned from the labels of the rows in
    `learned`. `source_only` is None without a source-only model.
    """

    rows: NDArray[np.int64]
    predicted: list[str]
    source_only: list[str] | None
    confidence: NDArray[np.float32]
    margin: NDArray[np.float32]
    components: NDArray[np.float32]
    learned: NDArray[np.bool_]

    @property
    def disputed(self) -> NDArray[np.bool_]:
        """Return where the two models differ (n,); nowhere without a source-only model."""
        if self.source_only is None:
            return np.zeros(len(self.rows), bool)
        return np.asarray([one != other for one, other in zip(self.predicted, self.source_only, strict=True)], bool)

    def without(self, rows: Set[int]) -> Self:
        """Return the outputs without these rows and those whose labels the job learned from."""
        kept = ~self.learned & ~np.isin(self.rows, np.fromiter(rows, np.int64, len(rows)))
        positions = np.flatnonzero(kept)
        return type(self)(
            rows=self.rows[positions],
            predicted=[self.predicted[position] for position in positions],
            source_only=None if self.source_only is None else [self.source_only[position] for position in positions],
            confidence=self.confidence[positions],
            margin=self.margin[positions],
            components=self.components[positions],
            learned=self.learned[positions],
        )

    def write(self, path: Path) -> None:
        """Write the file of the version."""
        columns = {
            "row": self.rows,
            "label": self.predicted,
            "source_only_label": pl.Series(self.source_only or [None] * len(self.rows), dtype=pl.String),
            "confidence": self.confidence,
            "margin": self.margin,
            "disputed": pl.Series(self.disputed if self.source_only else [None] * len(self.rows), dtype=pl.Boolean),
            "learned": self.learned,
            "components": pl.Series(self.components.tolist(), dtype=pl.List(pl.Float32)),
        }
        pl.DataFrame(columns).write_parquet(path)

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read the file of a version."""
        table = pl.read_parquet(file)
        source_only = table["source_only_label"]
        return cls(
            rows=table["row"].to_numpy(),
            predicted=table["label"].to_list(),
            source_only=None if source_only.null_count() else source_only.to_list(),
            confidence=table["confidence"].to_numpy(),
            margin=table["margin"].to_numpy(),
            components=np.array(table["components"].to_list(), np.float32).reshape(table.height, -1),
            learned=table["learned"].to_numpy(),
        )
