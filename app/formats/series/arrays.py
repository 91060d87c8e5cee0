"""Recordings in an npz: `x` (n, channels, time) or (n, time), and for each one `y`, its label, and `group`."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats import npz
from app.formats.series.recording import Recording, check_size
from app.formats.validation import ErrorCollector, pointer, printable

GROUPS = "group"
BLOCK_VALUES = 2**22


def read(path: Path, errors: ErrorCollector) -> Iterator[Recording]:
    """Yield the recordings in their order. Raise InvalidDataset."""
    headers = npz.headers(path)
    _check(headers, errors)
    errors.check()
    shape = headers[npz.INPUTS].shape
    size = max(1, min(1024, BLOCK_VALUES // math.prod(shape[1:])))
    labels = npz.label_names(path, size) if npz.LABELS in headers else None
    groups = npz.label_names(path, size, GROUPS) if GROUPS in headers else None
    with np.errstate(over="ignore"):  # the caller reports infinite values
        rows = (row for block in npz.rows(path, npz.INPUTS, size) for row in block.astype(np.float32))
        for number, row in enumerate(rows):
            values = row.reshape(-1, shape[-1])
            label, group = (next(names) if names else None for names in (labels, groups))
            yield Recording(values, f"recording {number}", pointer(npz.INPUTS, number), label, group)


def _check(headers: Mapping[str, npz.Header], errors: ErrorCollector) -> None:
    if npz.INPUTS not in headers:
        names = ", ".join(map(repr, headers)) or "none"
        detail = f"there is no array 'x'; the arrays are: {printable(names)}"
        raise InvalidDataset(detail, [FieldError("/x", detail)])
    for name in headers.keys() - {npz.INPUTS, npz.LABELS, GROUPS}:
        errors.add(pointer(name), f"unknown array {printable(name)!r}; expected x and, if there are any, y and group")
    x = headers[npz.INPUTS]
    if x.dtype.kind not in "iuf" or x.dtype.itemsize > 8:
        errors.add("/x", f"x is of type {x.dtype}, expected numbers")
    if len(x.shape) not in (2, 3) or 0 in x.shape[1:]:
        errors.add("/x", f"x has shape {x.shape}, expected (n, channels, time) or (n, time)")
    else:
        check_size(math.prod(x.shape[1:-1]), x.shape[-1], "/x", "each recording")
    npz.check_labels(headers, errors)
    npz.check_names(headers, GROUPS, "one group per recording", errors)
