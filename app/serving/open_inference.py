"""Tensors of the Open Inference Protocol, version 2, in JSON or behind it, to encoded inputs, and logits to tensors."""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import FieldError, InvalidInputs
from app.formats.validation import pointer
from app.modalities.base import Encoded
from app.schemas.open_inference import InferInput, InferOutput, InferRequest, TensorMetadata
from app.serving import tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.probabilities import class_probabilities
from app.serving.responses import EncodedResponse

Array = NDArray[Any]
DATATYPES = {"bool": "BOOL", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32", "float64": "FP64"}
_DTYPES = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}
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
    """What a caller can have, one row an input."""
    classes = len(version.classes)
    return [
        TensorMetadata(name="logits", datatype="FP32", shape=[-1, classes]),
        TensorMetadata(name="probabilities", datatype="FP32", shape=[-1, classes]),
        TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
        TensorMetadata(name="confidence", datatype="FP32", shape=[-1]),
        TensorMetadata(name="abstained", datatype="BOOL", shape=[-1]),
    ]


def encode(request: InferRequest, binary: bytes, version: LoadedModel, max_inputs: int) -> Encoded:
    """The inputs as the graph takes them; `behind` is what follows the JSON. Raises InvalidInputs."""
    raw = version.modality.raw_tensor
    found: dict[str, Array | list[bytes]] = {}
    for place, tensor in enumerate(request.inputs):
        data, binary = _split(tensor, binary, place)
        if tensor.name in found:
            raise _invalid(place, "name", f"{tensor.name} comes twice")
        found[tensor.name] = _elements(tensor, data, place) if tensor.datatype == "BYTES" else _array(tensor, data, place)
    if binary:
        raise InvalidInputs(f"There are {len(binary)} bytes behind the last tensor.", [FieldError("", "too many bytes")])
    if raw is not None and found.keys() == {raw}:
        return _of_elements(found[raw], version, max_inputs)
    arrays = {name: value for name, value in found.items() if not isinstance(value, list)}
    return tensor_inputs.validate(arrays, version, max_inputs)


def _of_elements(elements: "Array | list[bytes]", version: LoadedModel, most_inputs: int) -> Encoded:
    if not isinstance(elements, list) or not 0 < len(elements) <= most_inputs:
        raise _invalid(0, "shape", f"expected BYTES, 1 to {most_inputs} of them")
    return version.encoded_elements(elements)


def _split(tensor: InferInput, behind: bytes, place: int) -> tuple[bytes | None, bytes]:
    """The bytes of this tensor, None when its data is in the JSON, and what follows them."""
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        raise _invalid(place, "data", "give either `data` or the parameter `binary_data_size`")
    if size is None:
        return None, behind
    if size > len(behind):
        raise _invalid(place, "parameters/binary_data_size", f"{size} bytes, but only {len(behind)} are left")
    return behind[:size], behind[size:]


def _array(tensor: InferInput, data: bytes | None, place: int) -> Array:
    dtype, count = _DTYPES[tensor.datatype], prod(tensor.shape)
    if data is None:
        return _of_json(tensor, dtype, place)
    if len(data) != count * dtype.itemsize:
        raise _invalid(place, "shape", f"{tensor.shape} of {tensor.datatype} are not {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(tensor.shape)


def _of_json(tensor: InferInput, dtype: np.dtype[Any], place: int) -> Array:
    try:
        values = np.array(tensor.data)
    except ValueError as error:
        raise _invalid(place, "data", "rows of different lengths") from error
    kinds = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}[dtype.kind]
    if values.size != prod(tensor.shape) or values.dtype.kind not in kinds:
        raise _invalid(place, "data", f"expected {prod(tensor.shape)} values of {tensor.datatype}")
    if dtype.kind in "iu" and (values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max):
        raise _invalid(place, "data", f"a value that {tensor.datatype} does not hold")
    with np.errstate(over="ignore"):  # what becomes infinite is refused with the rest that is
        return values.astype(dtype).reshape(tensor.shape)


def _elements(tensor: InferInput, data: bytes | None, place: int) -> list[bytes]:
    if tensor.shape not in ([prod(tensor.shape)], [prod(tensor.shape), 1]):
        raise _invalid(place, "shape", "BYTES are (n) or (n, 1)")
    found = _unpacked(data) if data is not None else _texts(tensor.data or [])
    if found is None or len(found) != tensor.shape[0]:
        raise _invalid(place, "data", f"expected {tensor.shape[0]} elements")
    return found


def _texts(data: Sequence[Any]) -> list[bytes] | None:
    flat = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    return [text.encode() for text in flat] if all(isinstance(text, str) for text in flat) else None


def _unpacked(data: bytes) -> list[bytes] | None:
    """Elements behind their lengths."""
    found, place = [], 0
    while place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        found.append(data[place : place + length])
        place += length
    return found if place == len(data) else None


def _invalid(place: int, member: str, detail: str) -> InvalidInputs:
    return InvalidInputs(None, [FieldError(pointer("inputs", place) + f"/{member}", detail)])


def encode_response(request: InferRequest, version: LoadedModel, logits: NDArray[np.float32]) -> EncodedResponse:
    """Raises InvalidInputs."""
    found = _outputs(logits, version)
    outputs, behind = [], []
    for wanted in request.outputs or [InferOutput(name=name) for name in found]:
        tensor = _wanted(wanted, found, version)
        is_binary = wanted.parameters.binary_data
        head: dict[str, Any] = {"name": wanted.name, "shape": list(tensor.shape), "datatype": _datatype(tensor)}
        if request.parameters.binary_data_output if is_binary is None else is_binary:
            behind.append(_packed(tensor))
            outputs.append(head | {"parameters": {"binary_data_size": len(behind[-1])}})
        else:
            outputs.append(head | {"data": tensor.ravel().tolist()})
    named = {"model_name": version.model, "model_version": str(version.number)} | ({"id": request.id} if request.id else {})
    document = orjson.dumps(named | {"outputs": outputs})
    return EncodedResponse(b"".join([document, *behind]), len(document) if behind else None)


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


def _wanted(wanted: InferOutput, found: dict[str, Array], version: LoadedModel) -> Array:
    tensor = found.get(wanted.name)
    if tensor is None:
        raise InvalidInputs(None, [FieldError("/outputs", f"there is no output {wanted.name!r}, only {', '.join(found)}")])
    most = wanted.parameters.classification
    if most is None:
        return tensor
    if tensor.ndim != 2:
        raise InvalidInputs(None, [FieldError("/outputs", f"{wanted.name} has no value a class")])
    ranks = np.argsort(-tensor, axis=1, kind="stable")[:, :most]
    rows = [[f"{row[rank]:f}:{rank}:{version.classes[rank]}" for rank in order] for row, order in zip(tensor, ranks, strict=True)]
    return np.array(rows, object)


def _datatype(tensor: Array) -> str:
    return "BYTES" if tensor.dtype == object else DATATYPES[tensor.dtype.name]


def _packed(tensor: Array) -> bytes:
    if tensor.dtype != object:
        return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
    elements = [str(element).encode() for element in tensor.ravel()]
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
