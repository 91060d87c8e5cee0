"""Inputs of predictions of series: JSON lists and objects, and files."""

import io
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldError, InvalidDataset, InvalidInputs
from app.formats import npz
from app.formats.series import arrays, folders, wav
from app.formats.series.recording import SeriesColumns
from app.formats.series.windows import resized
from app.formats.validation import LIMIT, ErrorCollector, pointer, printable

MAX_VALUES = 2**26
"""Values of the files of one request: compressed files can contain many more than they have bytes."""
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"

Values = NDArray[np.float32]


class InvalidSeriesError(ValueError):
    """An input that is not a series of the model. The message is for the user."""


@dataclass(frozen=True, slots=True)
class SeriesShape:
    """The series that a model takes. If it `fits_length`, longer ones are cut and shorter ones filled."""

    channels: int
    length: int
    names: tuple[str, ...] | None = None
    rate: int | None = None
    fits_length: bool = False

    def check(self, values: Values) -> Values:
        """Return the values (channels, time) with the model's length. Raise InvalidSeriesError."""
        if values.shape[0] == self.channels and values.shape[1] and self.fits_length:
            values = resized(values, self.length)
        if values.shape != (self.channels, self.length):
            given = " x ".join(map(str, values.shape))
            raise InvalidSeriesError(f"{given} numbers, expected {self.channels} x {self.length} (channels x time)")
        if np.isinf(values).any():
            raise InvalidSeriesError("a value is not a finite 32-bit number")
        if np.isnan(values).all():
            raise InvalidSeriesError("all values are missing")
        return values


def parse_json(inputs: Sequence[Any], shape: SeriesShape) -> Values:
    """Return the series (n, channels, time). Raise InvalidInputs with a pointer to each invalid input."""
    return _parse_all(inputs, "inputs", lambda value: [shape.check(_from_json(value, shape))])


def parse_files(files: Sequence[bytes], shape: SeriesShape) -> Values:
    """Return the series of all files (n, channels, time). Raise InvalidInputs with a pointer to each invalid file."""
    return _parse_all(files, "files", lambda content: [shape.check(values) for values in _from_file(content, shape)])


def _parse_all(inputs: Sequence[Any], field: str, parse: Callable[[Any], Iterable[Values]]) -> Values:
    parsed, errors = list[Values](), list[FieldError]()
    for index, value in enumerate(inputs):
        try:
            parsed += parse(value)
        except InvalidSeriesError as error:
            errors.append(FieldError(pointer(field, index), str(error)))
    if errors:
        raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
    return np.stack(parsed)


def _from_json(value: Any, shape: SeriesShape) -> Values:
    if isinstance(value, dict):
        value = _in_order(value, shape)
    if not isinstance(value, list):
        raise InvalidSeriesError("expected lists of numbers (channels x time), or an object of lists by channel")
    try:
        numbers = np.array(value)
    except ValueError as error:
        raise InvalidSeriesError("the channels have different lengths") from error
    if numbers.dtype == object:
        numbers = _with_missing(numbers)
    if numbers.dtype.kind not in "iuf" or numbers.ndim not in (1, 2):
        raise InvalidSeriesError("expected lists of numbers (channels x time); null is a missing value")
    with np.errstate(over="ignore"):  # `check` rejects infinite values
        return np.atleast_2d(numbers.astype(np.float32))


def _in_order(value: dict[str, Any], shape: SeriesShape) -> list[Any]:
    names = shape.names
    if names is None or value.keys() != set(names):
        expected = ", ".join(printable(name, 30) for name in names[:8]) if names else "lists: the channels have no names"
        raise InvalidSeriesError(f"expected the channels {expected}")
    return [value[name] for name in names]


def _with_missing(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return floats with NaN for null. Raise InvalidSeriesError for other values that are not numbers."""
    for value in numbers.flat:
        if value is not None and type(value) not in (int, float):
            raise InvalidSeriesError(f"{printable(repr(value), 40)} is not a number")
    try:
        return numbers.astype(np.float64)
    except OverflowError as error:
        raise InvalidSeriesError("a value is not a finite 32-bit number") from error


def _from_file(content: bytes, shape: SeriesShape) -> list[Values]:
    """Return the series of a file, recognised by its content."""
    try:
        if content.startswith(_NPY):
            return [_from_npy(content)]
        if content.startswith(_ZIP):
            return _from_npz(content)
        if content.startswith(wav.MAGIC):
            sound = wav.parse(content, "")
            if shape.rate and sound.rate != shape.rate:
                raise InvalidSeriesError(f"a rate of {sound.rate} Hz, expected {shape.rate} Hz: resample it")
            return [sound.values]
        return [folders.parse_table(content, SeriesColumns(), shape.names, "")[0]]
    except InvalidDataset as error:
        raise InvalidSeriesError(error.errors[0].detail if error.errors else error.message) from error


def _from_npy(content: bytes) -> Values:
    file = io.BytesIO(content)
    try:
        header = npz.read_header(file)
        if header.dtype.kind not in "iuf" or len(header.shape) not in (1, 2):
            raise InvalidSeriesError(f"an array {header.shape} of {header.dtype}, expected numbers (channels, time)")
        if math.prod(header.shape) * header.dtype.itemsize != len(content) - file.tell():
            raise InvalidSeriesError("the header of the .npy file does not fit its data")
    except ValueError as error:
        raise InvalidSeriesError(str(error)) from error
    with np.errstate(over="ignore"):
        array = np.frombuffer(content, header.dtype, offset=file.tell()).reshape(header.shape)
        return np.atleast_2d(array.astype(np.float32))


def _from_npz(content: bytes) -> list[Values]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        x = npz.headers(path).get(npz.INPUTS)
        if x is not None and math.prod(x.shape) > MAX_VALUES:
            raise InvalidSeriesError(f"more than {MAX_VALUES} values")
        return [recording.values for recording in arrays.read(path, ErrorCollector())]
