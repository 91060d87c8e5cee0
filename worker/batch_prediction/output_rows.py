"""Predictions as rows of an output file (`app.schemas.batch_predictions.BatchPredictionOptions`)."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.schemas.batch_predictions import BatchPredictionOptions, Format
from app.serving.probabilities import softmax
from app.storage import CHUNK

NO_FINITE_RESULT = "its values are too large for this model"
ROW_GROUP_SIZE = 65_536
ABSTAINED_POSITION = 3
"""Index of the column, after `row`, `label` and `confidence`."""


class OutputRows:
    """Builder of data frames with the requested columns. The model abstains below the confidence `threshold`."""

    def __init__(self, classes: Sequence[str], threshold: float, options: BatchPredictionOptions) -> None:
        self._classes, self._threshold = pl.Series(classes, dtype=pl.String), threshold
        self._top_k = min(options.top_k, len(classes))
        self._probabilities = options.probabilities
        self.schema = pl.Schema(self._schema())

    def from_logits(self, first_row: int, logits: NDArray[np.float32]) -> pl.DataFrame:
        """Return the rows from `first_row` on for logits (n, classes), with an error where they are not finite."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(logits).all(axis=1))
        if not finite.all():
            logits = np.where(finite[:, None], logits, 0)
        with np.errstate(over="ignore"):  # the probability of a very small logit is 0
            by_class = softmax(np.ascontiguousarray(logits.T), axis=0)  # faster than along the short class axis
        columns = [pl.Series("row", np.arange(first_row, first_row + len(logits)))]
        for name, order in zip(_rank_suffixes(self._top_k), _top_classes(by_class, self._top_k), strict=True):
            columns.append(self._classes.gather(order).alias(f"label{name}"))
            columns.append(pl.Series(f"confidence{name}", by_class[order, np.arange(len(order))]))
        columns.insert(ABSTAINED_POSITION, (columns[ABSTAINED_POSITION - 1] < self._threshold).alias("abstained"))
        if self._probabilities:
            columns += [pl.Series(name, values) for name, values in zip(self._probability_columns(), by_class, strict=True)]
        frame = pl.DataFrame([*columns, pl.Series("error", [None], pl.String).new_from_index(0, len(logits))])
        return frame if finite.all() else _mark_failed(frame, ~finite)

    def failed_row(self, row: int, error: str) -> pl.DataFrame:
        """Return the row of an input that could not be read."""
        return pl.DataFrame([{"row": row, "error": error}], schema=self.schema)

    def _schema(self) -> Mapping[str, type[pl.DataType]]:
        lower = {f"{name}{rank}": kind for rank in _rank_suffixes(self._top_k)[1:] for name, kind in _RANK_COLUMNS.items()}
        named = self._probability_columns() if self._probabilities else []
        return {
            "row": pl.Int64,
            **_RANK_COLUMNS,
            "abstained": pl.Boolean,
            **lower,
            **dict.fromkeys(named, pl.Float32),
            "error": pl.String,
        }

    def _probability_columns(self) -> list[str]:
        return [f"probability_{name}" for name in self._classes]


_RANK_COLUMNS: Mapping[str, type[pl.DataType]] = {"label": pl.String, "confidence": pl.Float32}


def _rank_suffixes(count: int) -> list[str]:
    """Return the suffix of the column names of each rank."""
    return ["", *(f"_{rank}" for rank in range(2, count + 1))]


def _top_classes(by_class: NDArray[np.float32], count: int) -> list[NDArray[np.intp]]:
    """Return the most probable classes (n,) by rank, from probabilities (classes, n). Ties go to the first class."""
    if count == 1:
        return [by_class.argmax(axis=0)]
    return list(np.argsort(-by_class, axis=0, kind="stable")[:count])


def _mark_failed(frame: pl.DataFrame, where: NDArray[np.bool_]) -> pl.DataFrame:
    failed = pl.Series(where)
    nulls = [
        pl.when(failed).then(None).otherwise(pl.col(name)).alias(name) for name in frame.columns if name not in ("row", "error")
    ]
    return frame.with_columns(*nulls, pl.when(failed).then(pl.lit(NO_FINITE_RESULT)).alias("error"))


def write_part(frame: pl.DataFrame, path: Path, format: Format) -> None:
    """Write rows only. `concatenate_parts` adds what a complete file needs."""
    writers: Mapping[Format, Callable[[], object]] = {
        "parquet": lambda: frame.write_parquet(path, compression="lz4", statistics=False),
        "csv": lambda: frame.write_csv(path, include_header=False),
        "jsonl": lambda: frame.write_ndjson(path),
    }
    writers[format]()


def concatenate_parts(parts: Sequence[Path], schema: pl.Schema, path: Path, format: Format) -> None:
    """Write one file with all parts in order, in bounded memory."""
    if format == "parquet":
        pl.scan_parquet(list(parts), glob=False).sink_parquet(path, compression="lz4", row_group_size=ROW_GROUP_SIZE, mkdir=False)
        return
    with path.open("wb") as output:
        if format == "csv":
            pl.DataFrame(schema=schema).write_csv(output)
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, output, CHUNK)
