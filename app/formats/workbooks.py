"""Excel and OpenDocument workbooks. One sheet is read; its cells are converted to the text that CSV has for them.

The library holds the sheet in memory. Uploads are checked in a process with limited memory, which bounds it.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from app.errors import FieldError, InvalidDataset
from app.formats.dialects import Layout
from app.formats.headers import check_is_header
from app.formats.row_blocks import RowBlock, check_names
from app.formats.validation import printable

BLOCK_ROWS = 4096
HEADER_ROWS = 50


def columns(path: Path, layout: Layout) -> list[str]:
    """Return the names in the first row of the sheet. Raise InvalidDataset."""
    rows = _rows(_sheet(path, layout))
    names = next(rows, None)
    if names is None:
        raise InvalidDataset("The sheet is empty.", [FieldError("/file", "the sheet has no rows")])
    if layout.header is False:
        return [f"column_{number}" for number in range(1, len(names) + 1)]
    while names and names[-1] is None:
        names = names[:-1]
    header = [name or "" for name in names]
    if layout.header is None:
        check_is_header(header, [[cell or "" for cell in row] for row in islice(rows, HEADER_ROWS)])
    return check_names(header)


def blocks(path: Path, layout: Layout) -> Iterator[RowBlock]:
    """Yield all rows below the header as text cells. Rows without any value are skipped."""
    names = columns(path, layout)
    has_header = layout.header is not False
    rows = islice(enumerate(_rows(_sheet(path, layout)), start=0 if has_header else 1), 1 if has_header else 0, None)
    filled = ((number, row[: len(names)]) for number, row in rows if any(cell is not None for cell in row))
    while part := list(islice(filled, BLOCK_ROWS)):
        cells = zip(*(row for _, row in part), strict=True)
        series = [pl.Series(name, column, pl.String) for name, column in zip(names, cells, strict=True)]
        yield RowBlock([number for number, _ in part], pl.DataFrame(series))


def sheet_name(path: Path, layout: Layout) -> str:
    """Return the name of the sheet that is read. Raise InvalidDataset."""
    return _sheet(path, layout).name


def _sheet(path: Path, layout: Layout) -> CalamineSheet:
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        names = workbook.sheet_names
        if layout.sheet is not None and layout.sheet not in names:
            detail = f"there is no sheet {layout.sheet!r}; the sheets are {', '.join(map(repr, names[:20]))}"
            raise InvalidDataset(detail, [FieldError("/options/sheet", detail)])
        return workbook.get_sheet_by_name(layout.sheet or names[0])
    except (CalamineError, OSError, IndexError, ValueError) as error:
        detail = f"the file is a workbook that cannot be read ({printable(str(error))}): save the sheet as CSV"
        raise InvalidDataset(detail, [FieldError("/file", detail)]) from error


def _rows(sheet: CalamineSheet) -> Iterator[Sequence[str | None]]:
    for row in sheet.iter_rows():
        yield [_text(cell) for cell in row]


def _text(cell: Any) -> str | None:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return repr(cell.total_seconds())
    return str(cell) or None
