"""The Open Inference Protocol, version 2: https://github.com/open-inference-protocol. The protocol defines the names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.limits import MAX_TOP_K

Datatype = Literal["BOOL", "UINT8", "INT32", "INT64", "FP32", "FP64", "BYTES"]
Size = Annotated[int, Field(ge=0, le=2**40)]
Shape = Annotated[list[Size], Field(min_length=1, max_length=8)]


class _RequestModel(BaseModel):
    """A part of a request. Unknown members, which other servers accept, are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class InputParameters(_RequestModel):
    binary_data_size: Size | None = Field(None, description="Size of this tensor's bytes after the JSON, which replace `data`.")


class OutputParameters(_RequestModel):
    binary_data: bool | None = Field(None, description="Whether to send this output as bytes after the JSON.")
    classification: int | None = Field(None, ge=1, le=MAX_TOP_K, description="Number of `value:index:label` strings per row.")


class RequestParameters(_RequestModel):
    binary_data_output: bool = Field(False, description="Default of `binary_data` for all outputs.")


class InferInput(_RequestModel):
    """A tensor with its values in row order, nested or flat."""

    name: str = Field(max_length=100)
    shape: Shape
    datatype: Datatype
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = None


class InferOutput(_RequestModel):
    """A requested output."""

    name: str = Field(max_length=100)
    parameters: OutputParameters = OutputParameters()


class InferRequest(_RequestModel):
    """Tensors as described by the model's metadata."""

    id: str = Field("", max_length=200)
    parameters: RequestParameters = RequestParameters()
    inputs: list[InferInput] = Field(min_length=1, max_length=100)
    outputs: list[InferOutput] = Field([], max_length=100, description="Requested outputs; empty means all.")


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


class TensorConfig(BaseModel):
    """One tensor; -1 marks a size that varies. The batch is no dimension."""

    name: str
    data_type: str = Field(examples=["TYPE_FP32"])
    dims: list[int]

    @classmethod
    def of(cls, tensor: TensorMetadata) -> "TensorConfig":
        return cls(
            name=tensor.name, data_type=f"TYPE_{_CONFIG_TYPES.get(tensor.datatype, tensor.datatype)}", dims=tensor.shape[1:]
        )


_CONFIG_TYPES = {"BYTES": "STRING"}


class ModelConfig(BaseModel):
    """The configuration of a model in the names of Triton's extension."""

    name: str
    platform: Literal["onnxruntime_onnx"] = "onnxruntime_onnx"
    backend: Literal["onnxruntime"] = "onnxruntime"
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]


class Duration(BaseModel):
    """Number of requests and the sum of their times."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """The requests that succeeded in this process."""

    success: Duration


class VersionStatisticsOut(BaseModel):
    """Statistics of one version, in this process since its start."""

    name: str
    version: str
    inference_count: int = Field(description="Inputs that were predicted.")
    execution_count: int = Field(description="Requests.")
    inference_stats: InferenceStatistics


class ModelStatistics(BaseModel):
    """Statistics in the names of Triton's extension."""

    model_stats: list[VersionStatisticsOut]


class ServerMetadata(BaseModel):
    name: Literal["isthmus"] = "isthmus"
    version: str
    extensions: list[str] = ["binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics"]


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
