"""Routes of the Open Inference Protocol, version 2, for clients of Triton and KServe.

`{model}` is any model reference: `digits`, `digits:3`, `digits@production`. Errors are problem documents with the additional
member `error` of the protocol.
"""

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.authorization import OPEN, CallerDep, requires
from app.api.deps import SCHEMA_REFERENCE, SessionDep, SettingsDep, error_responses
from app.api.health import DependenciesDep, in_probe_thread
from app.api.large_bodies import HOLDS_BODY_SLOTS
from app.api.middleware import own_body_limit
from app.api.request_bodies import MAX_INLINE_PARSE_BYTES, PredictorDep, read_text, run_prediction, validated
from app.auth.caller import Caller
from app.errors import (
    ArtifactCorrupt,
    FieldError,
    InvalidInputs,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServiceUnavailable,
    UnsupportedContentEncoding,
    UploadTooLarge,
)
from app.observability.version_statistics import STATISTICS
from app.schemas.models import VersionNumber
from app.schemas.open_inference import (
    Duration,
    IndexEntry,
    InferenceStatistics,
    InferRequest,
    InferResponse,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorConfig,
    VersionStatisticsOut,
)
from app.schemas.predict import ModelReference
from app.services import models
from app.serving import open_inference
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.settings import Settings

router = APIRouter(prefix="/v2", tags=["inference"])

_PREDICT = requires("predict")

HEADER = "Inference-Header-Content-Length"
Model = Annotated[ModelReference, Path()]
Version = Annotated[VersionNumber, Path()]


async def _version_reference(model: Model, version: Version) -> str:
    return f"{model}:{version}"


VersionReference = Annotated[str, Depends(_version_reference)]
HeaderLength = Annotated[str | None, Header(alias=HEADER, description="Size of the JSON in bytes, if binary tensors follow it.")]
_MODEL = "/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_MODEL_ERRORS = error_responses(ModelNotFound, InvalidRequest, ArtifactCorrupt)
_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "responses": {
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **error_responses(
            ModelNotFound, InvalidRequest, InvalidInputs, UploadTooLarge, UnsupportedContentEncoding, ArtifactCorrupt, Overloaded
        ),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": InferRequest.model_json_schema(ref_template=SCHEMA_REFERENCE)}},
        }
    },
}


@router.get("", dependencies=[OPEN])
def server_metadata(request: Request) -> ServerMetadata:
    """Return name and version of the server and the protocol extensions that it supports."""
    return ServerMetadata(version=request.app.version)


@router.get("/health/live", dependencies=[OPEN])
async def server_live() -> ServerLive:
    """Return 200 while the process can respond."""
    return ServerLive()


@router.get("/health/ready", dependencies=[OPEN], responses=error_responses(ServiceUnavailable))
async def server_ready(dependencies: DependenciesDep) -> ServerReady:
    """Return 200 if database, broker and storage are reachable."""
    unreachable = [name for name, error in (await in_probe_thread(dependencies.errors)).items() if error]
    if unreachable:
        raise ServiceUnavailable(f"Not reachable: {', '.join(unreachable)}.")
    return ServerReady()


@router.post("/repository/index", dependencies=[requires("models:read")], responses=error_responses(InvalidRequest))
def repository_index(
    session: SessionDep,
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: Annotated[str | None, Query(max_length=500, description="From the `Link` header of the previous page.")] = None,
) -> list[IndexEntry]:
    """List a page of the versions of all models, newest models first. The header `Link` has the address of the next page."""
    entries, cursor = models.index(session, limit, after)
    if cursor is not None:
        response.headers["Link"] = f'<{request.url.path}?limit={limit}&after={quote(cursor)}>; rel="next"'
    return [IndexEntry(name=name, version=str(number)) for name, number in entries]


@router.get(_MODEL + "/ready", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def model_ready(model: Model, predictor: PredictorDep, caller: CallerDep) -> ModelReady:
    """Load the version if necessary, and return 200 once it is loaded."""
    return _ready(await predictor.load(caller, model))


@router.get(_VERSION + "/ready", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def version_ready(model: Model, version: Version, predictor: PredictorDep, caller: CallerDep) -> ModelReady:
    """Load the version if necessary, and return 200 once it is loaded."""
    return _ready(await predictor.load(caller, f"{model}:{version}"))


@router.get(_MODEL, dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def model_metadata(model: Model, predictor: PredictorDep, caller: CallerDep) -> ModelMetadata:
    """Return names, types and shapes of the input and output tensors."""
    return _metadata(await predictor.load(caller, model))


@router.get(_VERSION, dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def version_metadata(model: Model, version: Version, predictor: PredictorDep, caller: CallerDep) -> ModelMetadata:
    """Return names, types and shapes of the input and output tensors."""
    return _metadata(await predictor.load(caller, f"{model}:{version}"))


@router.get(_MODEL + "/config", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def model_config(model: Model, predictor: PredictorDep, caller: CallerDep, settings: SettingsDep) -> ModelConfig:
    """Return the configuration of a model, in the names of Triton's extension."""
    return _config(await predictor.load(caller, model), settings.max_predict_inputs)


@router.get(_VERSION + "/config", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def version_config(
    reference: VersionReference, predictor: PredictorDep, caller: CallerDep, settings: SettingsDep
) -> ModelConfig:
    """Return the configuration of a version, in the names of Triton's extension."""
    return _config(await predictor.load(caller, reference), settings.max_predict_inputs)


@router.get(_MODEL + "/stats", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def model_stats(model: Model, predictor: PredictorDep, caller: CallerDep) -> ModelStatistics:
    """Return how often this process has predicted with a model, in the names of Triton's extension."""
    return _stats(await predictor.load(caller, model))


@router.get(_VERSION + "/stats", dependencies=[_PREDICT], responses=_MODEL_ERRORS)
async def version_stats(reference: VersionReference, predictor: PredictorDep, caller: CallerDep) -> ModelStatistics:
    """Return how often this process has predicted with a version, in the names of Triton's extension."""
    return _stats(await predictor.load(caller, reference))


@router.post(_MODEL + "/infer", dependencies=[_PREDICT, HOLDS_BODY_SLOTS], **_INFER)
@own_body_limit
async def infer(
    request: Request,
    model: Model,
    caller: CallerDep,
    predictor: PredictorDep,
    settings: SettingsDep,
    header_length: HeaderLength = None,
) -> Response:
    """Predict from tensors in JSON, or in binary after the JSON (binary tensor data extension)."""
    return await _infer(request, model, caller, predictor, settings, header_length)


@router.post(_VERSION + "/infer", dependencies=[_PREDICT, HOLDS_BODY_SLOTS], **_INFER)
@own_body_limit
async def infer_version(
    request: Request,
    reference: VersionReference,
    caller: CallerDep,
    predictor: PredictorDep,
    settings: SettingsDep,
    header_length: HeaderLength = None,
) -> Response:
    """Predict from tensors in JSON, or in binary after the JSON (binary tensor data extension)."""
    return await _infer(request, reference, caller, predictor, settings, header_length)


async def _infer(
    request: Request, reference: str, caller: Caller, predictor: Predictor, settings: Settings, header_length: str | None
) -> Response:
    body = await read_text(request, settings.max_predict_bytes)
    is_small = len(body) <= MAX_INLINE_PARSE_BYTES
    infer_request, tensor_data = _parse(body, header_length) if is_small else await run_in_threadpool(_parse, body, header_length)
    version = await predictor.load(caller, reference)
    encode = partial(open_inference.encode, binary=tensor_data, version=version, max_inputs=settings.max_predict_inputs)
    # a small image file may decode to a large image
    has_files = any(tensor.datatype == "BYTES" for tensor in infer_request.inputs)
    encoded = encode(infer_request) if is_small and not has_files else await predictor.encode(version, encode, infer_request)
    logits = await run_prediction(request, predictor, version, encoded)
    content, json_bytes = open_inference.encode_response(infer_request, version, logits)
    if json_bytes is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER: str(json_bytes)})


def _parse(body: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """Return the request in the JSON, and the tensor data after it."""
    if header_length is None:
        return validated(InferRequest, body), b""
    size = int(header_length) if header_length.isdecimal() and len(header_length) < 12 else -1
    if not 0 < size <= len(body):
        raise InvalidRequest(errors=[FieldError(f"/header/{HEADER}", f"expected 1 to {len(body)}, the size of the body")])
    return validated(InferRequest, body[:size]), body[size:]


def _config(version: LoadedModel, max_inputs: int) -> ModelConfig:
    metadata = _metadata(version)
    inputs, outputs = ([TensorConfig.of(one) for one in tensors] for tensors in (metadata.inputs, metadata.outputs))
    return ModelConfig(name=metadata.name, max_batch_size=max_inputs, input=inputs, output=outputs)


def _stats(version: LoadedModel) -> ModelStatistics:
    known = STATISTICS.read(version.model, version.number)
    success = Duration(count=known.requests, ns=round(known.seconds * 1e9))
    statistics = VersionStatisticsOut(
        name=version.model,
        version=str(version.number),
        inference_count=known.inputs,
        execution_count=known.requests,
        inference_stats=InferenceStatistics(success=success),
    )
    return ModelStatistics(model_stats=[statistics])


def _ready(version: LoadedModel) -> ModelReady:
    return ModelReady(name=version.model)


def _metadata(version: LoadedModel) -> ModelMetadata:
    return ModelMetadata(
        name=version.model,
        versions=[str(version.number)],
        inputs=open_inference.input_metadata(version),
        outputs=open_inference.output_metadata(version),
    )
