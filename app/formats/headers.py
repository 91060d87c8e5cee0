"""Detection of a CSV file without a header: its first row would silently become the names of the columns."""

from collections.abc import Sequence
from itertools import pairwise

from app.errors import FieldError, InvalidDataset
from app.formats.names import canonical_text
from app.formats.validation import printable


def check_is_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Raise InvalidDataset if the first row looks like data: it has numbers, and its texts occur again in their columns.

    Rising numbers alone are accepted as names: pixels, wavelengths and the columns of pandas are numbered.
    """
    names = [canonical_text(name) for name in names]
    texts = [position for position, name in enumerate(names) if name and _number(name) is None]
    numbers = [number for name in names if (number := _number(name)) is not None]
    if not numbers or not rows:
        return
    if texts:
        is_data = all(_occurs(names[position], position, rows) for position in texts)
    else:
        is_data = not all(left < right for left, right in pairwise(numbers))
    if is_data:
        shown = ", ".join(printable(name, 20) for name in names[:5])
        remedy = "add a first row with the names of the columns, or set `options.header` to false (or true, if it is right)"
        detail = f"the first row looks like data, not like column names: {shown}; {remedy}"
        raise InvalidDataset(detail, [FieldError("/columns", detail)])


def _occurs(text: str, position: int, rows: Sequence[Sequence[str]]) -> bool:
    return any(len(row) > position and canonical_text(row[position]) == text for row in rows)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
