"""Routes of predict."""

from collections.abc import AsyncGenerator
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.deps import SessionsDep, SettingsDep, documented
from app.errors import FieldError, InvalidInputs, InvalidRequest, ModelNotFound, UnsupportedContentType, UploadTooLarge
from app.schemas.predict import PredictCreate, PredictForm, PredictOut
from app.services import predictions
from app.serving.engine import PredictionEngine

router = APIRouter(tags=["predict"])

JSON, MULTIPART = "application/json", "multipart/form-data"
Body = TypeVar("Body", bound=BaseModel)


def get_predictor(request: Request) -> PredictionEngine:
    predictor: PredictionEngine = request.app.state.predictor
    return predictor


PredictorDep = Annotated[PredictionEngine, Depends(get_predictor)]

_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}, "description": "Picture files."}
_FORM = PredictForm.model_json_schema()
_BODIES = {
    JSON: {"schema": PredictCreate.model_json_schema()},
    MULTIPART: {"schema": _FORM | {"properties": _FORM["properties"] | {"files": _FILES}, "required": ["model", "files"]}},
}


@router.post(
    "/predict",
    responses=documented(ModelNotFound, InvalidRequest, InvalidInputs, UploadTooLarge, UnsupportedContentType),
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
async def predict(request: Request, sessions: SessionsDep, predictor: PredictorDep, settings: SettingsDep) -> PredictOut:
    """Predict: JSON for every modality, or picture files as multipart."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == JSON:
        body = _validated(PredictCreate, b"".join([chunk async for chunk in _bounded(request, settings.max_predict_bytes)]))
        predictions.check_count(len(body.inputs), settings.max_predict_inputs, "/inputs")
        return await run_in_threadpool(predictions.of_values, sessions, predictor, body)
    if content_type == MULTIPART:
        form = await _form(request, settings.max_predict_bytes, settings.max_predict_inputs)
        files, fields = await _parts(form)
        predictions.check_count(len(files), settings.max_predict_inputs, "/files")
        return await run_in_threadpool(predictions.of_files, sessions, predictor, _validated(PredictForm, fields), files)
    raise UnsupportedContentType(f"Send {JSON} or {MULTIPART}, not {content_type[:100] or 'nothing'}.")


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises UploadTooLarge before it holds more than `limit` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise UploadTooLarge(f"A prediction request may have {limit} bytes.")
        yield chunk


async def _form(request: Request, limit_bytes: int, limit_files: int) -> FormData:
    parser = MultiPartParser(request.headers, _bounded(request, limit_bytes), max_files=limit_files, max_fields=10)
    try:
        return await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InvalidRequest("The multipart body cannot be read.", [FieldError("", str(error))]) from error


async def _parts(form: FormData) -> tuple[list[bytes], dict[str, str]]:
    """Contents of `files` in their order, and the text fields. Raises InvalidRequest for a file of another name."""
    files, fields = [], {}
    for name, part in form.multi_items():
        if isinstance(part, str):
            fields[name] = part
        elif name == "files":
            files.append(await part.read())
        else:
            raise InvalidRequest(errors=[FieldError(f"/{name}", "send the pictures in fields named `files`")])
    await form.close()
    return files, fields


def _validated(schema: type[Body], data: bytes | dict[str, str]) -> Body:
    """Raises what FastAPI raises for a bad body."""
    try:
        return schema.model_validate_json(data) if isinstance(data, bytes) else schema.model_validate(data)
    except ValidationError as error:
        places = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**place, "loc": ("body", *place["loc"])} for place in places]) from error
