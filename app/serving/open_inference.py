"""Tensors of the Open Inference Protocol, version 2: JSON or binary data to encoded inputs, and logits to output tensors."""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import FieldError, InvalidInputs
from app.formats.validation import pointer, printable
from app.modalities.base import Encoded
from app.schemas.open_inference import InferInput, InferOutput, InferRequest, TensorMetadata
from app.serving import tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.probabilities import class_probabilities
from app.serving.responses import EncodedResponse

Array = NDArray[Any]
DATATYPES = {"bool": "BOOL", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32", "float64": "FP64"}
_DTYPES = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}
_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}
"""Kinds of NumPy that a tensor of a kind takes from JSON without a look at each value."""
_LENGTH = struct.Struct("<I")


def input_metadata(version: LoadedModel) -> list[TensorMetadata]:
    """Return the input tensors of a request: the raw one if encoded inputs are not a single array of fixed shape."""
    raw = version.modality.raw_tensor
    if raw is not None and version.single_array is None:
        return [TensorMetadata(name=raw, datatype="BYTES", shape=[-1])]
    return [
        TensorMetadata(name=name, datatype=DATATYPES[spec.dtype], shape=[-1, *spec.shape]) for name, spec in version.specs.items()
    ]


def output_metadata(version: LoadedModel) -> list[TensorMetadata]:
    """Return the output tensors that a request can name."""
    classes = len(version.classes)
    return [
        TensorMetadata(name="logits", datatype="FP32", shape=[-1, classes]),
        TensorMetadata(name="probabilities", datatype="FP32", shape=[-1, classes]),
        TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
        TensorMetadata(name="confidence", datatype="FP32", shape=[-1]),
        TensorMetadata(name="abstained", datatype="BOOL", shape=[-1]),
    ]


def encode(request: InferRequest, binary: bytes, version: LoadedModel, max_inputs: int) -> Encoded:
    """Encode the inputs for the graph; `binary` is the data after the JSON. Raise InvalidInputs."""
    raw = version.modality.raw_tensor
    tensors: dict[str, Array | list[bytes]] = {}
    for index, tensor in enumerate(request.inputs):
        data, binary = _take_data(tensor, binary, index)
        if tensor.name in tensors:
            raise _invalid(index, "name", f"{tensor.name} is given twice")
        tensors[tensor.name] = _elements(tensor, data, index) if tensor.datatype == "BYTES" else _array(tensor, data, index)
    if binary:
        raise InvalidInputs(f"There are {len(binary)} bytes after the last tensor.", [FieldError("", "too many bytes")])
    if raw is not None and tensors.keys() == {raw}:
        return _encode_elements(tensors[raw], version, max_inputs)
    arrays = {name: value for name, value in tensors.items() if not isinstance(value, list)}
    if len(arrays) < len(tensors):
        _reject_elements(request, version)
    return tensor_inputs.validate(arrays, version, max_inputs, {name: number for number, name in enumerate(tensors)})


def _reject_elements(request: InferRequest, version: LoadedModel) -> None:
    """Raise InvalidInputs for BYTES that are not the only and raw input of the model."""
    raw = version.modality.raw_tensor
    expected = [f"{name} of {DATATYPES[spec.dtype]}" for name, spec in version.specs.items()]
    hint = "" if raw is None else f"; or the only input {raw} of BYTES"
    for index, tensor in enumerate(request.inputs):
        if tensor.datatype == "BYTES":
            member = "datatype" if tensor.name in version.specs or raw is None else "name"
            raise _invalid(index, member, f"{tensor.name!r} of BYTES: expected {', '.join(expected)}{hint}")


def _encode_elements(elements: "Array | list[bytes]", version: LoadedModel, max_inputs: int) -> Encoded:
    if not isinstance(elements, list) or not 0 < len(elements) <= max_inputs:
        raise _invalid(0, "shape", f"expected BYTES, 1 to {max_inputs} of them")
    return version.encoded_elements(elements)


def _take_data(tensor: InferInput, binary: bytes, index: int) -> tuple[bytes | None, bytes]:
    """Return the bytes of this tensor, None if its data is in the JSON, and the remaining bytes."""
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        raise _invalid(index, "data", "give either `data` or the parameter `binary_data_size`")
    if size is None:
        return None, binary
    if size > len(binary):
        raise _invalid(index, "parameters/binary_data_size", f"{size} bytes, but only {len(binary)} remain")
    return binary[:size], binary[size:]


def _array(tensor: InferInput, data: bytes | None, index: int) -> Array:
    dtype, count = _DTYPES[tensor.datatype], prod(tensor.shape)
    if data is None:
        return _parse_values(tensor, dtype, index)
    if len(data) != count * dtype.itemsize:
        raise _invalid(index, "shape", f"{tensor.shape} of {tensor.datatype} are not {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(tensor.shape)


def _parse_values(tensor: InferInput, dtype: np.dtype[Any], index: int) -> Array:
    try:
        values = np.array(tensor.data)
    except ValueError as error:
        raise _invalid(index, "data", "rows of different lengths") from error
    if values.size != prod(tensor.shape):
        raise _invalid(index, "data", f"shape {tensor.shape} has {prod(tensor.shape)} values, but {values.size} are given")
    if values.dtype.kind not in _KINDS[dtype.kind]:
        values = _mixed_values(values, tensor, dtype, index)
    if dtype.kind in "iu" and (values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max):
        raise _invalid(index, "data", f"a value is outside the range of {tensor.datatype}")
    with np.errstate(over="ignore"):  # infinite values are rejected later
        return values.astype(dtype).reshape(tensor.shape)


def _mixed_values(values: Array, tensor: InferInput, dtype: np.dtype[Any], index: int) -> Array:
    """Return numbers with NaN for null, which marks a missing number. Raise InvalidInputs with the position of another value."""
    accepted: tuple[type, ...] = {"b": (bool,), "u": (int,), "i": (int,), "f": (int, float, type(None))}[dtype.kind]
    flat = np.array(_flattened(tensor.data), object)
    for position, value in enumerate(flat):
        if type(value) not in accepted:
            shown = "null" if value is None else printable(repr(value), 40)
            raise _invalid(index, "data", f"value {position} is {shown}, expected {tensor.datatype}")
    if dtype.kind != "f":
        raise _invalid(index, "data", f"a value is outside the range of {tensor.datatype}")
    try:
        return flat.astype(np.float64).reshape(values.shape)
    except OverflowError as error:
        raise _invalid(index, "data", f"a value is outside the range of {tensor.datatype}") from error


def _flattened(values: Any) -> list[Any]:
    """Return the values of nested lists in their order."""
    return [leaf for value in values for leaf in (_flattened(value) if isinstance(value, list) else [value])]


def _elements(tensor: InferInput, data: bytes | None, index: int) -> list[bytes]:
    if tensor.shape not in ([prod(tensor.shape)], [prod(tensor.shape), 1]):
        raise _invalid(index, "shape", "BYTES are (n) or (n, 1)")
    elements = _split_elements(data) if data is not None else _texts(tensor.data or [])
    if elements is None or len(elements) != tensor.shape[0]:
        raise _invalid(index, "data", f"expected {tensor.shape[0]} elements")
    return elements


def _texts(data: Sequence[Any]) -> list[bytes] | None:
    flat = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    return [text.encode() for text in flat] if all(isinstance(text, str) for text in flat) else None


def _split_elements(data: bytes) -> list[bytes] | None:
    """Split elements that each follow their length. Return None if the data does not end with an element."""
    elements, position = [], 0
    while position + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        elements.append(data[position : position + length])
        position += length
    return elements if position == len(data) else None


def _invalid(index: int, member: str, detail: str) -> InvalidInputs:
    return InvalidInputs(None, [FieldError(pointer("inputs", index) + f"/{member}", detail)])


def encode_response(request: InferRequest, version: LoadedModel, logits: NDArray[np.float32]) -> EncodedResponse:
    """Return the requested tensors as JSON, with binary data after it if requested. Raise InvalidInputs."""
    available = _outputs(logits, version)
    outputs, binary = [], []
    for output in request.outputs or [InferOutput(name=name) for name in available]:
        tensor = _requested_tensor(output, available, version)
        is_binary = output.parameters.binary_data
        head: dict[str, Any] = {"name": output.name, "shape": list(tensor.shape), "datatype": _datatype(tensor)}
        if request.parameters.binary_data_output if is_binary is None else is_binary:
            binary.append(_to_bytes(tensor))
            outputs.append(head | {"parameters": {"binary_data_size": len(binary[-1])}})
        else:
            outputs.append(head | {"data": tensor.ravel().tolist()})
    named = {"model_name": version.model, "model_version": str(version.number)} | ({"id": request.id} if request.id else {})
    document = orjson.dumps(named | {"outputs": outputs})
    return EncodedResponse(b"".join([document, *binary]), len(document) if binary else None)


def _outputs(logits: NDArray[np.float32], version: LoadedModel) -> dict[str, Array]:
    probabilities = class_probabilities(logits)
    confidence = probabilities.max(axis=1)
    labels = np.array(version.classes, object)[logits.argmax(axis=1)]
    return {
        "logits": logits,
        "probabilities": probabilities.astype(np.float32),
        "label": labels,
        "confidence": confidence.astype(np.float32),
        "abstained": confidence < version.threshold,
    }


def _requested_tensor(output: InferOutput, available: dict[str, Array], version: LoadedModel) -> Array:
    tensor = available.get(output.name)
    if tensor is None:
        raise InvalidInputs(None, [FieldError("/outputs", f"there is no output {output.name!r}, only {', '.join(available)}")])
    max_classes = output.parameters.classification
    if max_classes is None:
        return tensor
    if tensor.ndim != 2:
        raise InvalidInputs(None, [FieldError("/outputs", f"{output.name} has no value per class; use logits or probabilities")])
    ranks = np.argsort(-tensor, axis=1, kind="stable")[:, :max_classes]
    rows = [[f"{row[rank]:f}:{rank}:{version.classes[rank]}" for rank in order] for row, order in zip(tensor, ranks, strict=True)]
    return np.array(rows, object)


def _datatype(tensor: Array) -> str:
    return "BYTES" if tensor.dtype == object else DATATYPES[tensor.dtype.name]


def _to_bytes(tensor: Array) -> bytes:
    if tensor.dtype != object:
        return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
    elements = [str(element).encode() for element in tensor.ravel()]
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
