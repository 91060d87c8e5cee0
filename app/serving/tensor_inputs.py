"""Inputs that clients send already encoded, validated against the inputs of the graph."""

import io
from collections.abc import Mapping
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldError, InvalidInputs
from app.formats import npz
from app.formats.validation import printable
from app.modalities.base import Encoded, TensorSpec
from app.serving.loaded_model import LoadedModel, SingleArrayInput


def from_bytes(body: bytes, version: LoadedModel, max_inputs: int) -> Encoded:
    """Read a little-endian array in C order with the type and shape of the model's only input. Raise InvalidInputs."""
    single = _single_array(version)
    rows, rest = divmod(len(body), single.row_bytes)
    if rest or not rows:
        raise _invalid("", f"{len(body)} bytes; one input, {_shape(single.shape)} of {single.dtype.name}, has {single.row_bytes}")
    if rows > max_inputs:
        raise _invalid("", f"more than {max_inputs} inputs")
    array = np.frombuffer(body, single.dtype).reshape(rows, *single.shape)
    if single.is_float:
        _check_finite(f"/inputs/{single.name}", array)
    return {single.name: array}


def from_npy(body: bytes, version: LoadedModel, max_inputs: int) -> Encoded:
    """Read a `.npy` file with the type and shape of the model's only input. Raise InvalidInputs."""
    name = _single_array(version).name
    file = io.BytesIO(body)
    try:
        header = npz.read_header(file)
        if header.dtype.hasobject or prod(header.shape) * header.dtype.itemsize != len(body) - file.tell():
            raise _invalid("", f"the header of the .npy file has shape {header.shape}, but the data has another size")
        array = np.frombuffer(body, header.dtype, offset=file.tell()).reshape(header.shape)
    except ValueError as error:
        raise _invalid("", f"not a .npy file: {error}") from error
    return validate({name: array}, version, max_inputs)


def validate(
    tensors: dict[str, NDArray[Any]], version: LoadedModel, max_inputs: int, positions: Mapping[str, int] | None = None
) -> Encoded:
    """Check that these are all inputs of the graph, with its types and shapes and equal row counts. Raise InvalidInputs.

    `positions` are the indices of the tensors in the request, for the pointers of errors.
    """
    if tensors.keys() != version.specs.keys():
        given = f", not {', '.join(printable(name, 50) for name in tensors)}" if tensors else ""
        raise _invalid("/inputs", f"expected the inputs {', '.join(version.specs)}{given}")
    for name, spec in version.specs.items():
        _validate_tensor(_pointer(name, positions), tensors[name], spec)
    rows = {len(tensor) for tensor in tensors.values()}
    if len(rows) > 1 or 0 in rows:
        raise _invalid("/inputs", "all inputs need the same number of rows, at least one")
    if max(rows) > max_inputs:
        raise _invalid("/inputs", f"more than {max_inputs} rows")
    return {name: tensors[name].astype(spec.dtype, copy=False) for name, spec in version.specs.items()}


def _validate_tensor(where: str, tensor: NDArray[Any], spec: TensorSpec) -> None:
    dtype = np.dtype(spec.dtype)
    if tensor.dtype.newbyteorder("=") != dtype:
        raise _invalid(where, f"is {tensor.dtype.name}, expected {spec.dtype}")
    shape = tensor.shape[1:]
    if len(shape) != len(spec.shape) or any(size not in (-1, given) for size, given in zip(spec.shape, shape, strict=True)):
        expected = _shape(("n", *("n" if size == -1 else size for size in spec.shape)))
        raise _invalid(where, f"the shape is {_shape(tensor.shape)}, expected {expected}; the first axis counts the inputs")
    if dtype.kind == "f":
        _check_finite(where, tensor)
    elif spec.limits is not None:
        _check_codes(where, tensor, spec.limits)


def _check_codes(where: str, tensor: NDArray[Any], limits: tuple[int, ...]) -> None:
    """Raise InvalidInputs for a code that is not from 0 up to the limit of its column."""
    is_outside = (tensor < 0) | (tensor >= limits)
    if is_outside.any():
        index = np.argwhere(is_outside)[0]
        limit = limits[min(int(index[-1]), len(limits) - 1)]
        row, column = int(index[0]), int(index[-1])
        raise _invalid(where, f"row {row}, column {column}: {tensor[tuple(index)]} is not a code from 0 to {limit - 1}")


def _pointer(name: str, positions: Mapping[str, int] | None) -> str:
    return f"/inputs/{name}" if positions is None else f"/inputs/{positions[name]}"


def _check_finite(where: str, tensor: NDArray[Any]) -> None:
    """Raise InvalidInputs for infinite values; NaN marks a missing number."""
    if not isfinite(np.add.reduce(tensor, axis=None)) and np.isinf(tensor).any():
        position = tuple(np.argwhere(np.isinf(tensor))[0].tolist())
        raise _invalid(where, f"the value at {list(position)} is not a finite 32-bit number")


def _single_array(version: LoadedModel) -> SingleArrayInput:
    if version.single_array is None:
        raise _invalid("", f"this model takes {', '.join(version.specs)}, which a single array cannot hold: send JSON")
    return version.single_array


def _invalid(pointer: str, detail: str) -> InvalidInputs:
    return InvalidInputs(None, [FieldError(pointer, detail)])


def _shape(shape: tuple[int | str, ...]) -> str:
    return " x ".join(map(str, shape))
