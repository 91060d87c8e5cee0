"""The Open Inference Protocol, version 2: https://github.com/open-inference-protocol. Its names, not ours."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.limits import MOST_CLASSES

Datatype = Literal["BOOL", "UINT8", "INT32", "INT64", "FP32", "FP64", "BYTES"]
Size = Annotated[int, Field(ge=0, le=2**40)]
Shape = Annotated[list[Size], Field(min_length=1, max_length=8)]


class _Asked(BaseModel):
    """Parameters and members of other servers are no error."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class InputParameters(_Asked):
    binary_data_size: Size | None = Field(None, description="Bytes of this tensor behind the JSON, instead of `data`.")


class OutputParameters(_Asked):
    binary_data: bool | None = Field(None, description="Whether this output shall come behind the JSON.")
    classification: int | None = Field(None, ge=1, le=MOST_CLASSES, description="So many `value:index:label` a row.")


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
    """An output that is wanted."""

    name: str = Field(max_length=100)
    parameters: OutputParameters = OutputParameters()


class InferRequest(_Asked):
    """Tensors as the model's metadata has them."""

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
    """The outputs, and the version that gave them."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]


class TensorMetadata(BaseModel):
    """-1 where a size varies."""

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
    """A version; all that exist are loaded when they are asked for."""

    name: str
    version: str
    state: Literal["READY"] = "READY"
    reason: str = ""
