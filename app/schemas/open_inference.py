"""The Open Inference Protocol, version 2: https://github.com/open-inference-protocol. The protocol defines the names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.limits import MAX_CLASSES

Datatype = Literal["BOOL", "UINT8", "INT32", "INT64", "FP32", "FP64", "BYTES"]
Size = Annotated[int, Field(ge=0, le=2**40)]
Shape = Annotated[list[Size], Field(min_length=1, max_length=8)]


class _Asked(BaseModel):
    """A part of a request. Unknown members, which other servers accept, are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class InputParameters(_Asked):
    binary_data_size: Size | None = Field(None, description="Bytes of this tensor behind the JSON, instead of `data`.")


class OutputParameters(_Asked):
    binary_data: bool | None = Field(None, description="Whether this output shall come behind the JSON.")
    classification: int | None = Field(None, ge=1, le=MAX_CLASSES, description="So many `value:index:label` a row.")


class RequestParameters(_Asked):
    binary_data_output: bool = Field(False, description="Whether outputs that do not say shall come behind the JSON.")


class InferInput(_Asked):
    """One tensor, its values in row order, nested or flat."""

    name: str = Field(max_length=100)
    shape: Shape
    datatype: Datatype
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = None


class InferOutput(_Asked):
    """A requested output."""

    name: str = Field(max_length=100)
    parameters: OutputParameters = OutputParameters()


class InferRequest(_Asked):
    """Tensors as described by the model's metadata."""

    id: str = Field("", max_length=200)
    parameters: RequestParameters = RequestParameters()
    inputs: list[InferInput] = Field(min_length=1, max_length=100)
    outputs: list[InferOutput] = Field([], max_length=100, description="Empty: all of them.")


class TensorOut(BaseModel):
    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """The outputs, and the version that computed them."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]


class TensorMetadata(BaseModel):
    """One tensor of the model; -1 marks a size that varies."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: Literal["onnxruntime_onnx"] = "onnxruntime_onnx"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    name: Literal["isthmus"] = "isthmus"
    version: str
    extensions: list[str] = ["binary_tensor_data", "classification", "model_repository"]


class ServerLive(BaseModel):
    live: Literal[True] = True


class ServerReady(BaseModel):
    ready: Literal[True] = True


class ModelReady(BaseModel):
    name: str
    ready: Literal[True] = True


class IndexEntry(BaseModel):
    """A version. Every existing version is loaded on request."""

    name: str
    version: str
    state: Literal["READY"] = "READY"
    reason: str = ""
