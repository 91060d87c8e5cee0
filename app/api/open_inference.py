"""Routes of the Open Inference Protocol, version 2, as Triton, KServe and their clients speak it.

`{model}` is any model reference: `digits`, `digits:3`, `digits@production`. Errors are problem documents with the protocol's
member `error`.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.deps import SessionDep, SettingsDep, error_responses
from app.api.health import DependenciesDep
from app.api.request_bodies import SMALL_BYTES, PredictorDep, read_body, run_prediction, validated
from app.errors import (
    ArtifactCorrupt,
    FieldError,
    InvalidInputs,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServiceUnavailable,
    UploadTooLarge,
)
from app.schemas.models import VersionNumber
from app.schemas.open_inference import (
    IndexEntry,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from app.schemas.predict import ModelReference
from app.services import models
from app.serving import open_inference
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.settings import Settings

router = APIRouter(prefix="/v2", tags=["inference"])

HEADER = "Inference-Header-Content-Length"
Model = Annotated[ModelReference, Path()]
Version = Annotated[VersionNumber, Path()]
HeaderLength = Annotated[str | None, Header(alias=HEADER, description="Bytes of the JSON, where tensors follow it.")]
_MODEL = "/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_FOUND = error_responses(ModelNotFound, InvalidRequest, ArtifactCorrupt)
_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "responses": {
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **error_responses(ModelNotFound, InvalidRequest, InvalidInputs, UploadTooLarge, ArtifactCorrupt, Overloaded),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": InferRequest.model_json_schema()}}}
    },
}


@router.get("")
def server_metadata(request: Request) -> ServerMetadata:
    """Name, version and the extensions of the protocol that this server speaks."""
    return ServerMetadata(version=request.app.version)


@router.get("/health/live")
def server_live() -> ServerLive:
    """As `/health/live`."""
    return ServerLive()


@router.get("/health/ready", responses=error_responses(ServiceUnavailable))
def server_ready(dependencies: DependenciesDep) -> ServerReady:
    """As `/health/ready`."""
    unreachable = [name for name, error in dependencies.errors().items() if error]
    if unreachable:
        raise ServiceUnavailable(f"Not reachable: {', '.join(unreachable)}.")
    return ServerReady()


@router.post("/repository/index", responses=error_responses(InvalidRequest))
def repository_index(session: SessionDep) -> list[IndexEntry]:
    """The versions of all models, newest models first."""
    return [IndexEntry(name=name, version=str(number)) for name, number in models.index(session)]


@router.get(_MODEL + "/ready", responses=_FOUND)
async def model_ready(model: Model, predictor: PredictorDep) -> ModelReady:
    """200 when the version is loaded; to ask loads it."""
    return _ready(await predictor.load(model))


@router.get(_VERSION + "/ready", responses=_FOUND)
async def version_ready(model: Model, version: Version, predictor: PredictorDep) -> ModelReady:
    """200 when the version is loaded; to ask loads it."""
    return _ready(await predictor.load(f"{model}:{version}"))


@router.get(_MODEL, responses=_FOUND)
async def model_metadata(model: Model, predictor: PredictorDep) -> ModelMetadata:
    """Names, types and shapes of what goes in and comes out."""
    return _metadata(await predictor.load(model))


@router.get(_VERSION, responses=_FOUND)
async def version_metadata(model: Model, version: Version, predictor: PredictorDep) -> ModelMetadata:
    """Names, types and shapes of what goes in and comes out."""
    return _metadata(await predictor.load(f"{model}:{version}"))


@router.post(_MODEL + "/infer", **_INFER)
async def infer(
    request: Request, model: Model, predictor: PredictorDep, settings: SettingsDep, header_length: HeaderLength = None
) -> Response:
    """Tensors in, tensors out; in JSON, or behind it as the binary tensor extension has it."""
    return await _infer(request, model, predictor, settings, header_length)


@router.post(_VERSION + "/infer", **_INFER)
async def infer_version(
    request: Request,
    model: Model,
    version: Version,
    predictor: PredictorDep,
    settings: SettingsDep,
    header_length: HeaderLength = None,
) -> Response:
    """Tensors in, tensors out; in JSON, or behind it as the binary tensor extension has it."""
    return await _infer(request, f"{model}:{version}", predictor, settings, header_length)


async def _infer(
    request: Request, reference: str, predictor: Predictor, settings: Settings, header_length: str | None
) -> Response:
    body = await read_body(request, settings.max_predict_bytes)
    is_small = len(body) <= SMALL_BYTES
    asked, behind = _asked(body, header_length) if is_small else await run_in_threadpool(_asked, body, header_length)
    version = await predictor.load(reference)
    encode = partial(open_inference.encoded, behind=behind, version=version, most_inputs=settings.max_predict_inputs)
    is_plain = all(tensor.datatype != "BYTES" for tensor in asked.inputs)  # a small picture file may be a large picture
    encoded = encode(asked) if is_small and is_plain else await predictor.encoded(version, encode, asked)
    logits = await run_prediction(request, predictor, version, encoded)
    content, document_bytes = open_inference.response(asked, version, logits)
    if document_bytes is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER: str(document_bytes)})


def _asked(body: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """The JSON of the request, and what follows it."""
    if header_length is None:
        return validated(InferRequest, body), b""
    size = int(header_length) if header_length.isdecimal() and len(header_length) < 12 else -1
    if not 0 < size <= len(body):
        raise InvalidRequest(errors=[FieldError(f"/header/{HEADER}", f"expected 1 to {len(body)}, the bytes of the body")])
    return validated(InferRequest, body[:size]), body[size:]


def _ready(version: LoadedModel) -> ModelReady:
    return ModelReady(name=version.model)


def _metadata(version: LoadedModel) -> ModelMetadata:
    return ModelMetadata(
        name=version.model,
        versions=[str(version.number)],
        inputs=open_inference.inputs_of(version),
        outputs=open_inference.outputs_of(version),
    )
