"""Readers of recordings: signals of several channels over time, with their labels and groups.

Each reader yields the recordings of one format in a fixed order, in bounded memory. `windows` cuts them into examples.
"""

from collections.abc import Iterator
from pathlib import Path

from app.formats.series import arrays, folders, long_tables, ts_files
from app.formats.series.recording import Recording, SeriesColumns
from app.formats.validation import ErrorCollector


def read(path: Path, format: str, columns: SeriesColumns, errors: ErrorCollector) -> Iterator[Recording]:
    """Yield all recordings of a file. Add an error for each invalid one. Raise InvalidDataset."""
    if format == "npz":
        return arrays.read(path, errors)
    if format in ("zip", "tar"):
        return folders.read(path, format, columns, errors)
    if format == "ts":
        return ts_files.read(path, errors)
    return long_tables.read(path, format, columns, errors)
