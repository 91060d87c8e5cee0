"""The route that clients of MLflow's model servers call."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.deps import RequireJson, SettingsDep, error_responses
from app.api.predict import JSON, PREDICT_ERRORS, answer
from app.api.request_bodies import ModelDep, PredictorDep, read_body, require_model, run_prediction, validated
from app.errors import FieldError, InvalidInputs
from app.modalities.base import Encoded
from app.schemas.mlflow import Invocation, Split
from app.schemas.predict import PredictOut
from app.serving.loaded_model import LoadedModel
from app.serving.responses import Wanted

router = APIRouter(tags=["predict"])


@router.post(
    "/invocations",
    dependencies=[RequireJson],
    response_model=PredictOut,
    responses=error_responses(*PREDICT_ERRORS),
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": Invocation.model_json_schema()}}}},
)
async def invoke(request: Request, predictor: PredictorDep, settings: SettingsDep, model: ModelDep) -> Response:
    """Predict as MLflow's model servers do; the model is named in the query or in a header."""
    reference = require_model(model)
    asked = await run_in_threadpool(validated, Invocation, await read_body(request, settings.max_predict_bytes))
    version = await predictor.load(reference)
    encode = partial(_encoded, version=version, most_inputs=settings.max_predict_inputs)
    encoded = await predictor.encoded(version, encode, asked)
    logits = await run_prediction(request, predictor, version, encoded)
    return answer(request, logits, version, Wanted(asked.params.top_k, asked.params.probabilities))


def _encoded(asked: Invocation, version: LoadedModel, most_inputs: int) -> Encoded:
    values = _values(asked, version.modality.rows_are_objects)
    if not 0 < len(values) <= most_inputs:
        raise InvalidInputs(f"There are {len(values)} inputs, expected 1 to {most_inputs}.", [FieldError("", "number of inputs")])
    return version.encoded(values)


def _values(asked: Invocation, is_table: bool) -> list[Any]:
    """The inputs as `POST /predict` takes them: rows by column name, or, of other models, the cells of the only column."""
    if asked.instances is not None:
        return asked.instances
    if isinstance(asked.inputs, list):
        return asked.inputs
    rows = asked.dataframe_records
    if asked.inputs is not None:
        rows = _of_columns(asked.inputs)
    elif asked.dataframe_split is not None:
        rows = _of_split(asked.dataframe_split)
    return [row if is_table or len(row) != 1 else next(iter(row.values())) for row in rows or []]


def _of_columns(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise InvalidInputs(None, [FieldError("/inputs", "columns of different lengths")])
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _of_split(split: Split) -> list[dict[str, Any]]:
    for place, cells in enumerate(split.data):
        if len(cells) != len(split.columns):
            raise InvalidInputs(None, [FieldError(f"/dataframe_split/data/{place}", f"expected {len(split.columns)} cells")])
    if len(set(split.columns)) < len(split.columns):
        raise InvalidInputs(None, [FieldError("/dataframe_split/columns", "a column comes twice")])
    return [dict(zip(split.columns, cells, strict=True)) for cells in split.data]
