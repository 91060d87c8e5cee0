"""Arrays of an npz in chunks: first the header, then the data as it unpacks. Nothing is unpickled."""

import math
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldError, InvalidDataset
from app.formats.archives import METHODS, as_invalid_dataset, is_encrypted, open_zip
from app.formats.names import canonical_name
from app.formats.validation import ErrorCollector, pointer

INPUTS, LABELS = "x", "y"
MAX_LABEL_BYTES = 4 * 200
OBLONG = 8
MAX_AXES = 64
"""The limit of NumPy."""


@dataclass(frozen=True, slots=True)
class Header:
    """Shape and type that an array declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def headers(path: Path) -> dict[str, Header]:
    """Return the headers of an npz by array name, checked against the file sizes. Raise InvalidDataset."""
    with open_zip(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        return {info.filename.removesuffix(".npy"): _header(archive, info) for info in infos[:20]}


def may_be_series(path: Path) -> bool:
    """Return whether `x` has rows of numbers, or floats (n, channels, time) with more steps than channels.

    Raise InvalidDataset.
    """
    x = headers(path).get(INPUTS)
    if x is None or x.dtype.kind not in "iuf":
        return False
    return len(x.shape) == 2 or (len(x.shape) == 3 and x.dtype.kind == "f" and 2 * x.shape[1] <= x.shape[2])


def is_oblong(x: Header) -> bool:
    """Return whether an array of floats has a last axis that is too long for images."""
    return x.dtype.kind == "f" and len(x.shape) == 3 and OBLONG * x.shape[1] <= x.shape[2]


def rows(path: Path, name: str, size: int) -> Iterator[NDArray[Any]]:
    """Yield at most `size` entries of the first axis at a time. Raise InvalidDataset if the data is damaged."""
    with open_zip(path) as archive, as_invalid_dataset(f"array {name!r}", pointer(name)), archive.open(f"{name}.npy") as file:
        header = read_header(file)
        entry = math.prod(header.shape[1:]) * header.dtype.itemsize
        for start in range(0, header.shape[0], size):
            count = min(size, header.shape[0] - start)
            yield np.frombuffer(_read(file, count * entry), header.dtype).reshape(count, *header.shape[1:])


def label_names(path: Path, size: int, array: str = LABELS) -> Iterator[str]:
    """Yield the names in an array, of which `size` are read at a time; "" for a missing one. Raise InvalidDataset."""
    for block in rows(path, array, size):
        names = np.char.decode(block, "utf-8", "replace") if block.dtype.kind == "S" else block
        yield from (canonical_name(name) or "" for name in names.reshape(-1).tolist())


def check_labels(headers: Mapping[str, Header], errors: ErrorCollector) -> None:
    """Add an error if array `y` exists and does not label the rows of array `x`."""
    check_names(headers, LABELS, "one label per example", errors)


def check_names(headers: Mapping[str, Header], array: str, expected: str, errors: ErrorCollector) -> None:
    """Add an error if the array exists and does not name the rows of array `x`."""
    x, y = headers.get(INPUTS), headers.get(array)
    if y is None:
        return
    if y.dtype.kind not in "iufbSU" or y.dtype.itemsize > MAX_LABEL_BYTES:
        errors.add(pointer(array), f"{array} is of type {y.dtype}, expected whole numbers or short strings")
    if x is not None and y.shape not in (x.shape[:1], (*x.shape[:1], 1)):
        errors.add(pointer(array), f"{array} has shape {y.shape}, expected {x.shape[:1]}: {expected}")


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    name = info.filename.removesuffix(".npy")
    if not info.filename.endswith(".npy"):
        raise _invalid_array(name, f"{name!r} is not a NumPy array")
    if is_encrypted(info):
        raise _invalid_array(name, f"{name!r} is encrypted")
    if info.compress_type not in METHODS:
        raise _invalid_array(name, f"{name!r} is compressed by a method other than deflate")
    with as_invalid_dataset(f"array {name!r}", pointer(name)), archive.open(info) as file:
        header = read_header(file)
        expected = file.tell() + math.prod(header.shape) * header.dtype.itemsize
    if header.dtype.hasobject:
        raise _invalid_array(name, f"array {name!r} holds Python objects; only plain numbers and strings are accepted")
    if expected != info.file_size:
        raise _invalid_array(name, f"array {name!r} declares shape {header.shape}, but its data has another size")
    return header


def read_header(file: IO[bytes]) -> Header:
    """Read the header of a `.npy` and leave the file at its data. Raise ValueError."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version} is not supported")
    try:
        shape, fortran, dtype = read(file)
    except (MemoryError, RecursionError, SyntaxError, tokenize.TokenError) as error:  # NumPy parses the header as Python
        raise ValueError("its header is not one that NumPy writes") from error
    if fortran and len(shape) > 1:
        raise ValueError("it is in Fortran order; save it with np.ascontiguousarray")
    if len(shape) > MAX_AXES or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"shape {shape[:MAX_AXES]} is not possible")
    if not dtype.itemsize or dtype.shape:
        raise ValueError(f"type {dtype} is not that of a number or string")
    return Header(tuple(shape), dtype)


def _read(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise EOFError("it is cut short")
    return content


def _invalid_array(name: str, detail: str) -> InvalidDataset:
    return InvalidDataset(detail, [FieldError(pointer(name), detail)])
