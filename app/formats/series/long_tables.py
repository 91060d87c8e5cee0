"""Recordings in a long table: a row for each moment, with the columns `id`, `time`, the channels, `label` and `group`.

The rows of a recording follow each other. With windows, each run of rows with one label is a recording of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.errors import FieldError, InvalidDataset
from app.formats import tables
from app.formats.names import canonical_names
from app.formats.row_blocks import RowBlock, default_label, require_column
from app.formats.series.number_columns import NumberColumns
from app.formats.series.recording import Recording, SeriesColumns, Values, check_size
from app.formats.validation import ErrorCollector, pointer, printable

ID_NAMES = ("id", "recording", "series", "series_id", "recording_id")
TIME_NAMES = ("time", "timestamp", "t")
GROUP = "group"


@dataclass(frozen=True, slots=True)
class _Layout:
    id: str | None
    time: str | None
    label: str | None
    group: str | None
    channels: tuple[str, ...]
    is_windowed: bool

    @property
    def group_by(self) -> str | None:
        return self.group or (self.id if self.is_windowed else None)

    @property
    def names(self) -> list[str]:
        return [name for name in (self.id, self.time, self.label, self.group) if name] + list(self.channels)


@dataclass(slots=True)
class _Piece:
    """Consecutive rows of one recording."""

    key: tuple[str | None, str | None]
    group: str | None
    row: int
    values: Values
    times: NDArray[np.float64] | None


def read(path: Path, format: str, columns: SeriesColumns, errors: ErrorCollector) -> Iterator[Recording]:
    """Yield the recordings in their order. Add an error for each ragged row. Raise InvalidDataset."""
    layout = _layout(path, format, columns)
    pieces = _pieces(tables.blocks(path, format, columns.layout, layout.names, errors), layout)
    closed, current, unsorted = set[str | None](), list[_Piece](), False
    for piece in pieces:
        if current and piece.key != current[0].key:
            _check_change(current[0], piece, columns.is_windowed, closed)
            recording, is_sorted = _joined(current, layout)
            unsorted |= not is_sorted
            yield recording
            current = []
        current.append(piece)
        check_size(len(layout.channels), sum(part.values.shape[1] for part in current), "/rows", _shown(piece))
    if current:
        recording, is_sorted = _joined(current, layout)
        unsorted |= not is_sorted
        yield recording
    if unsorted:
        errors.warn("sorted_by_time", "The rows of a recording were not in the order of time and were sorted.", "/columns")


def looks_like_series(path: Path, format: str, columns: SeriesColumns) -> bool:
    """Return whether rows with the same `id` follow each other in the order of `time`. Raise InvalidDataset."""
    names = list(tables.schema(path, format, columns.layout))
    id_name, time_name = _known(columns.id, names, ID_NAMES), _known(columns.time, names, TIME_NAMES)
    if id_name not in names or time_name not in names or id_name is None or time_name is None:
        return False
    block = next(tables.blocks(path, format, columns.layout, [id_name, time_name], ErrorCollector()), None)
    if block is None or block.frame.height < 3:
        return False
    ids = canonical_names(block.frame[id_name]).fill_null("").to_numpy()
    times = _times(block.frame[time_name])
    same = ids[1:] == ids[:-1]
    return bool(same.mean() > 0.5 and (np.diff(times)[same] > 0).mean() > 0.9)


def _layout(path: Path, format: str, columns: SeriesColumns) -> _Layout:
    schema = list(tables.schema(path, format, columns.layout))
    chosen = {
        "id": _known(columns.id, schema, ID_NAMES),
        "time": _known(columns.time, schema, TIME_NAMES),
        "label": columns.label or default_label(schema),
        "group": _known(columns.group, schema, (GROUP,)),
    }
    found = {option: require_column(name, schema, option) for option, name in chosen.items() if name}
    ignored = {require_column(name, schema, "ignore") for name in columns.ignore}
    if found.get("id") is None and not columns.is_windowed:
        detail = "there is no column `id`: name the column that identifies a recording in `options.id`, or set `options.window`"
        raise InvalidDataset(detail, [FieldError("/options/id", detail)])
    channels = tuple(name for name in schema if name not in {*found.values(), *ignored})
    if not channels:
        raise InvalidDataset("There are no channels.", [FieldError("/columns", "there is no column with a signal")])
    return _Layout(found.get("id"), found.get("time"), found.get("label"), found.get("group"), channels, columns.is_windowed)


def _known(given: str | None, names: Sequence[str], defaults: Sequence[str]) -> str | None:
    """Return the given column, or the first that has one of the default names in any case."""
    if given is not None:
        return given
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in defaults if name in lower), None)


def _pieces(blocks: Iterator[RowBlock], layout: _Layout) -> Iterator[_Piece]:
    numbers = NumberColumns(layout.channels)
    for block in blocks:
        values = numbers.convert(block)
        ids, labels, groups = (_names(block.frame, name) for name in (layout.id, layout.label, layout.group_by))
        times = _times(block.frame[layout.time]) if layout.time else None
        changes = np.flatnonzero((ids[1:] != ids[:-1]) | (labels[1:] != labels[:-1])) + 1
        for start, end in zip([0, *changes], [*changes, len(ids)], strict=True):
            part = None if times is None else times[start:end]
            yield _Piece((ids[start], labels[start]), groups[start], block.rows[start], values[:, start:end], part)


def _names(frame: pl.DataFrame, name: str | None) -> NDArray[np.object_]:
    if name is None:
        return np.full(frame.height, None, object)
    return canonical_names(frame[name]).to_numpy().astype(object)


def _times(values: pl.Series) -> NDArray[np.float64]:
    """Return comparable numbers for times that are numbers, dates or texts of dates; NaN for others."""
    if values.dtype == pl.String:
        numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
        values = values.str.to_datetime(strict=False) if numbers.null_count() > values.null_count() else numbers
    if values.dtype.is_temporal():
        values = values.to_physical()
    return values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _check_change(last: _Piece, piece: _Piece, is_windowed: bool, closed: set[str | None]) -> None:
    """Raise InvalidDataset if a recording continues after another one, or has a second label."""
    if piece.key[0] == last.key[0]:
        if not is_windowed:
            detail = f"row {piece.row}: the label of {_shown(piece)} changes; set `options.window`, or give each label its own id"
            raise InvalidDataset(detail, [FieldError(pointer("rows", piece.row), detail)])
        return
    closed.add(last.key[0])
    if piece.key[0] in closed:
        detail = f"row {piece.row}: {_shown(piece)} continues after another recording; sort the rows by recording and time"
        raise InvalidDataset(detail, [FieldError(pointer("rows", piece.row), detail)])


def _joined(pieces: Sequence[_Piece], layout: _Layout) -> tuple[Recording, bool]:
    """Return the recording, sorted by time, and whether it was sorted already."""
    first = pieces[0]
    values = np.concatenate([piece.values for piece in pieces], axis=1)
    times = [piece.times for piece in pieces if piece.times is not None]
    is_sorted = True
    if times:
        moments = np.concatenate(times)
        is_sorted = not bool((np.diff(moments) < 0).any())
        values = values if is_sorted else values[:, np.argsort(moments, kind="stable")]
    label = first.key[1] if layout.label else None
    missing_label = "" if layout.label and label is None else label
    where = pointer("rows", first.row)
    return Recording(values, _shown(first), where, missing_label, first.group, layout.channels), is_sorted


def _shown(piece: _Piece) -> str:
    return f"recording {printable(piece.key[0], 50)!r}" if piece.key[0] is not None else "the recording"
