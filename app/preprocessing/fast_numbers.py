"""JSON lists of rows of numbers, as a model of numbers alone takes them. All other rows have slower ways."""

from itertools import chain
from struct import Struct, error

import numpy as np
import orjson
from numpy.typing import NDArray

from app.preprocessing.table_columns import MAX_FLOAT32

_OTHERS = (b'"', b"u", b"s")
"""Letters of strings, `null`, `true` and `false`. `Struct` accepts booleans, so the text has to show that there are none."""


def parse(text: bytes, width: int, max_rows: int) -> NDArray[np.float32] | None:
    """Return the rows (n, width) of a JSON array; None if it is anything else."""
    if not text.startswith(b"[[") or any(sign in text for sign in _OTHERS):
        return None
    try:
        rows = orjson.loads(text)
        if not 0 < len(rows) <= max_rows or any(type(row) is not list or len(row) != width for row in rows):
            return None
        cells = list(chain.from_iterable(rows))
        numbers = np.frombuffer(Struct(f"{len(cells)}d").pack(*cells)).reshape(-1, width)
    except (orjson.JSONDecodeError, error, OverflowError):
        return None
    return None if (np.abs(numbers) > MAX_FLOAT32).any() else numbers.astype(np.float32)
