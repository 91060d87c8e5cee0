"""Routes of predict."""

from collections.abc import AsyncGenerator
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.deps import SettingsDep, documented
from app.errors import (
    ArtifactDamaged,
    FieldError,
    InvalidInputs,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.formats.places import pointer
from app.schemas.predict import PredictCreate, PredictForm, PredictOut
from app.services.predictions import Logits, Predictor
from app.serving import answers
from app.serving.answers import Wanted
from app.serving.loading import LoadedVersion

router = APIRouter(tags=["predict"])

JSON, MULTIPART = "application/json", "multipart/form-data"
Body = TypeVar("Body", bound=BaseModel)


def get_predictor(request: Request) -> Predictor:
    predictor: Predictor = request.app.state.predictor
    return predictor


PredictorDep = Annotated[Predictor, Depends(get_predictor)]

_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}, "description": "Picture files."}
_FORM = PredictForm.model_json_schema()
_BODIES = {
    JSON: {"schema": PredictCreate.model_json_schema()},
    MULTIPART: {"schema": _FORM | {"properties": _FORM["properties"] | {"files": _FILES}, "required": ["model", "files"]}},
}


@router.post(
    "/predict",
    response_model=PredictOut,
    response_model_exclude_none=True,
    responses=documented(
        ModelNotFound, InvalidRequest, InvalidInputs, UploadTooLarge, UnsupportedContentType, ArtifactDamaged, Overloaded
    ),
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
async def predict(request: Request, predictor: PredictorDep, settings: SettingsDep) -> Response:
    """Predict: JSON for every modality, or picture files as multipart."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _bounded(request, settings.max_predict_bytes)
    if content_type == JSON:
        data = b"".join([chunk async for chunk in body])
        return await _of_json(predictor, settings.max_predict_inputs, data)
    if content_type == MULTIPART:
        form = await _form(request, body, settings.max_predict_inputs)
        try:
            files, fields = await _parts(form)
        finally:
            await form.close()
        return await _of_form(predictor, files, fields)
    raise UnsupportedContentType(f"Send {JSON} or {MULTIPART}, not {content_type[:100] or 'nothing'}.")


async def _of_json(predictor: Predictor, limit: int, data: bytes) -> Response:
    body = await run_in_threadpool(_validated, PredictCreate, data)
    if len(body.inputs) > limit:
        raise InvalidInputs(f"There are {len(body.inputs)} inputs.", [FieldError("/inputs", f"more than {limit}")])
    version = await predictor.find(body.model)
    encoded = await run_in_threadpool(version.encoded, body.inputs)
    return _answer(await predictor.run(version, encoded), version, body)


async def _of_form(predictor: Predictor, files: list[bytes], fields: dict[str, str]) -> Response:
    form = _validated(PredictForm, fields)
    if not files:
        raise InvalidInputs("There are no files.", [FieldError("/files", "send at least one picture")])
    version = await predictor.find(form.model)
    encoded = await run_in_threadpool(version.encoded_files, files)
    return _answer(await predictor.run(version, encoded), version, form)


def _answer(logits: Logits, version: LoadedVersion, form: PredictForm) -> Response:
    content = answers.document(logits, version, Wanted(form.top_k, form.probabilities))
    return Response(content, media_type=JSON)


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises UploadTooLarge before it holds more than `limit` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise UploadTooLarge(f"A prediction request may have {limit} bytes.")
        yield chunk


async def _form(request: Request, body: AsyncGenerator[bytes, None], most_files: int) -> FormData:
    parser = MultiPartParser(request.headers, body, max_files=most_files, max_fields=10)
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
            raise InvalidRequest(errors=[FieldError(pointer(name), "send the pictures in fields named `files`")])
    return files, fields


def _validated(schema: type[Body], data: bytes | dict[str, str]) -> Body:
    """Raises what FastAPI raises for a bad body."""
    try:
        return schema.model_validate_json(data) if isinstance(data, bytes) else schema.model_validate(data)
    except ValidationError as error:
        places = error.errors(include_url=False, include_context=False)
        body = data if isinstance(data, dict) or places[0]["type"] == "json_invalid" else from_json(data)
        raise RequestValidationError([{**place, "loc": ("body", *place["loc"])} for place in places], body=body) from error
