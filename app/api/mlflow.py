"""The route that clients of MLflow model servers call."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.authorization import CallerDep, requires
from app.api.deps import RequireJson, SettingsDep, error_responses
from app.api.middleware import own_body_limit
from app.api.predict import JSON, PREDICT_ERRORS, encode_response
from app.api.request_bodies import ModelDep, PredictorDep, read_body, require_model, run_prediction, validated
from app.errors import FieldError, InvalidInputs
from app.modalities.base import Encoded
from app.schemas.mlflow import DataframeSplit, Invocation
from app.schemas.predict import PredictOut
from app.serving.loaded_model import LoadedModel
from app.serving.responses import OutputOptions

router = APIRouter(tags=["predict"])


@router.post(
    "/invocations",
    dependencies=[requires("predict"), RequireJson],
    response_model=PredictOut,
    responses=error_responses(*PREDICT_ERRORS),
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": Invocation.model_json_schema()}}}},
)
@own_body_limit
async def invoke(
    request: Request, predictor: PredictorDep, settings: SettingsDep, caller: CallerDep, model: ModelDep
) -> Response:
    """Predict with the request format of MLflow. The query or a header names the model."""
    reference = require_model(model)
    body = await read_body(request, settings.max_predict_bytes)
    invocation = await run_in_threadpool(validated, Invocation, body)
    version = await predictor.load(caller, reference)
    encode = partial(_encode, version=version, max_inputs=settings.max_predict_inputs)
    encoded = await predictor.encode(version, encode, invocation)
    logits = await run_prediction(request, predictor, version, encoded)
    options = OutputOptions(invocation.params.top_k, invocation.params.probabilities)
    return encode_response(request, logits, version, options)


def _encode(invocation: Invocation, version: LoadedModel, max_inputs: int) -> Encoded:
    inputs = _inputs(invocation, version.modality.rows_are_objects)
    if not 0 < len(inputs) <= max_inputs:
        raise InvalidInputs(f"There are {len(inputs)} inputs, expected 1 to {max_inputs}.", [FieldError("", "number of inputs")])
    return version.encode_json(inputs)


def _inputs(invocation: Invocation, rows_are_objects: bool) -> list[Any]:
    """Return the inputs in the format of `POST /predict`: objects by column name, or the values of the only column."""
    if invocation.instances is not None:
        return invocation.instances
    if isinstance(invocation.inputs, list):
        return invocation.inputs
    rows = invocation.dataframe_records
    if invocation.inputs is not None:
        rows = _rows_from_columns(invocation.inputs)
    elif invocation.dataframe_split is not None:
        rows = _rows_from_split(invocation.dataframe_split)
    return [row if rows_are_objects or len(row) != 1 else next(iter(row.values())) for row in rows or []]


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
