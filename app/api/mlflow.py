"""The routes that clients of MLflow model servers and of the KServe protocol version 1 call."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.authorization import OPEN, CallerDep, requires
from app.api.deps import SCHEMA_REFERENCE, RequireJson, SettingsDep, error_responses
from app.api.large_bodies import HOLDS_BODY_SLOTS
from app.api.middleware import own_body_limit
from app.api.predict import JSON, PREDICT_ERRORS, respond
from app.api.request_bodies import ModelDep, PredictorDep, read_text, require_model, validated
from app.auth.caller import Caller
from app.errors import FieldError, InvalidInputs, UnsupportedContentType
from app.formats import csv_inputs
from app.modalities.base import EncodedInputs
from app.schemas.mlflow import DataframeSplit, Instances, Invocation, InvocationParams
from app.schemas.predict import ModelReference, PredictOut
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.serving.responses import OutputOptions
from app.settings import Settings

router = APIRouter(tags=["predict"])

CSV = "text/csv"
ReferencePath = Annotated[ModelReference, Path()]
_INSTANCES = {"required": True, "content": {JSON: {"schema": Instances.model_json_schema(ref_template=SCHEMA_REFERENCE)}}}
_INVOCATIONS = {
    "required": True,
    "content": {
        JSON: {"schema": Invocation.model_json_schema(ref_template=SCHEMA_REFERENCE)},
        CSV: {"schema": {"type": "string"}},
    },
}


@router.get("/ping", dependencies=[OPEN])
async def ping() -> None:
    """Return 200 while the process can respond."""


@router.post(
    "/invocations",
    dependencies=[requires("predict"), HOLDS_BODY_SLOTS],
    response_model=PredictOut,
    responses=error_responses(*PREDICT_ERRORS),
    openapi_extra={"requestBody": _INVOCATIONS},
)
@own_body_limit
async def invoke(
    request: Request, predictor: PredictorDep, settings: SettingsDep, caller: CallerDep, model: ModelDep
) -> Response:
    """Predict with the request formats of MLflow: JSON, or CSV with a header line. The query or a header names the model."""
    return await _invoke(request, predictor, settings, caller, require_model(model))


@router.get("/models/{reference}/ping", dependencies=[OPEN])
async def ping_model(reference: ReferencePath) -> None:
    """Return 200 while the process can respond: MLflow's clients have one address for each model."""


@router.post(
    "/models/{reference}/invocations",
    dependencies=[requires("predict"), HOLDS_BODY_SLOTS],
    response_model=PredictOut,
    responses=error_responses(*PREDICT_ERRORS),
    openapi_extra={"requestBody": _INVOCATIONS},
)
@own_body_limit
async def invoke_model(
    request: Request, reference: ReferencePath, predictor: PredictorDep, settings: SettingsDep, caller: CallerDep
) -> Response:
    """Predict with the request formats of MLflow. `reference` is any model reference, such as `digits@production`."""
    return await _invoke(request, predictor, settings, caller, reference)


@router.post(
    "/v1/models/{name}:predict",
    dependencies=[requires("predict"), RequireJson, HOLDS_BODY_SLOTS],
    response_model=PredictOut,
    responses=error_responses(*PREDICT_ERRORS),
    openapi_extra={"requestBody": _INSTANCES},
)
@own_body_limit
async def predict_instances(
    request: Request,
    name: ReferencePath,
    predictor: PredictorDep,
    settings: SettingsDep,
    caller: CallerDep,
) -> Response:
    """Predict with the request format of KServe, version 1, and of TensorFlow Serving. `name` is any model reference."""
    body = await read_text(request, settings.max_predict_bytes)
    invocation = await run_in_threadpool(_parse_instances, body)
    version = await predictor.load(caller, name)
    return await _predict(request, predictor, version, invocation, settings.max_predict_inputs)


async def _invoke(request: Request, predictor: Predictor, settings: Settings, caller: Caller, reference: str) -> Response:
    parse = _parser(request.headers.get("content-type", ""), settings.max_predict_inputs)
    body = await read_text(request, settings.max_predict_bytes)
    invocation = await run_in_threadpool(parse, body)
    version = await predictor.load(caller, reference)
    return await _predict(request, predictor, version, invocation, settings.max_predict_inputs)


class _Invocation(NamedTuple):
    """A parsed body: its inputs, in the format of `POST /predict` for a version, and its options."""

    inputs: Callable[[LoadedModel], list[Any]]
    params: InvocationParams = InvocationParams()


def _parser(content_type: str, max_inputs: int) -> Callable[[bytes], _Invocation]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == CSV:
        return partial(_parse_csv, max_inputs=max_inputs)
    if media_type == JSON or media_type.endswith("+json"):
        return _parse_json
    raise UnsupportedContentType(f"Send {JSON} or {CSV}, not {content_type[:100] or 'nothing'}.")


def _parse_json(body: bytes) -> _Invocation:
    invocation = validated(Invocation, body)
    return _Invocation(partial(_inputs, invocation), invocation.params)


def _parse_csv(body: bytes, max_inputs: int) -> _Invocation:
    rows = csv_inputs.parse(body, max_inputs)
    return _Invocation(lambda version: _values(version.modality.from_cells(rows, version.preprocessing), version))


def _parse_instances(body: bytes) -> _Invocation:
    given = validated(Instances, body)
    return _Invocation(lambda _: given.instances, InvocationParams(strict=given.strict))


async def _predict(
    request: Request, predictor: Predictor, version: LoadedModel, invocation: _Invocation, max_inputs: int
) -> Response:
    encode = partial(_encode, version=version, max_inputs=max_inputs)
    inputs = await predictor.encode(version, encode, invocation)
    options = OutputOptions(invocation.params.top_k, invocation.params.probabilities)
    return await respond(request, predictor, version, inputs, options)


def _encode(invocation: _Invocation, version: LoadedModel, max_inputs: int) -> EncodedInputs:
    inputs = invocation.inputs(version)
    if not 0 < len(inputs) <= max_inputs:
        raise InvalidInputs(f"There are {len(inputs)} inputs, expected 1 to {max_inputs}.", [FieldError("", "number of inputs")])
    return version.encode_json(inputs, invocation.params.strict)


def _inputs(invocation: Invocation, version: LoadedModel) -> list[Any]:
    """Return the inputs in the format of `POST /predict`: objects by column name, or the values of the only column."""
    if invocation.instances is not None:
        return invocation.instances
    if isinstance(invocation.inputs, list):
        return invocation.inputs
    rows = invocation.dataframe_records or []
    if invocation.inputs is not None:
        rows = _rows_from_columns(invocation.inputs)
    elif invocation.dataframe_split is not None:
        rows = _rows_from_split(invocation.dataframe_split)
    return _values(rows, version)


def _values(rows: Sequence[Mapping[str, Any]], version: LoadedModel) -> list[Any]:
    if version.modality.rows_are_objects:
        return list(rows)
    return [next(iter(row.values())) if len(row) == 1 else row for row in rows]


def _rows_from_columns(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise InvalidInputs(None, [FieldError("/inputs", "columns of different lengths")])
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _rows_from_split(split: DataframeSplit) -> list[dict[str, Any]]:
    for index, cells in enumerate(split.data):
        if len(cells) != len(split.columns):
            raise InvalidInputs(None, [FieldError(f"/dataframe_split/data/{index}", f"expected {len(split.columns)} cells")])
    if len(set(split.columns)) < len(split.columns):
        raise InvalidInputs(None, [FieldError("/dataframe_split/columns", "duplicate column")])
    return [dict(zip(split.columns, cells, strict=True)) for cells in split.data]
