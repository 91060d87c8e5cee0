"""Routes of predict."""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.deps import SettingsDep, error_responses
from app.api.request_bodies import ModelDep, PredictorDep, read_body, require_model, run_prediction, stream_limited, validated
from app.artifacts import Precision
from app.errors import (
    ArtifactCorrupt,
    FieldError,
    InvalidInputs,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PrecisionNotFound,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.formats.validation import pointer
from app.modalities.base import Encoded
from app.schemas.limits import MOST_CLASSES, TOP_K
from app.schemas.predict import PredictCreate, PredictForm, PredictOut
from app.serving import responses, tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Logits
from app.serving.responses import Wanted

router = APIRouter(tags=["predict"])

JSON, MULTIPART, OCTET_STREAM, NPY = "application/json", "multipart/form-data", "application/octet-stream", "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"
PREDICT_ERRORS = (
    ModelNotFound,
    InvalidRequest,
    InvalidInputs,
    UploadTooLarge,
    UnsupportedContentType,
    ArtifactCorrupt,
    Overloaded,
)

ReadArray = Callable[[bytes, LoadedModel, int], Encoded]
_ARRAYS: dict[str, ReadArray] = {OCTET_STREAM: tensor_inputs.of_bytes, NPY: tensor_inputs.of_npy}
_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}, "description": "Picture files."}
_FORM = PredictForm.model_json_schema()
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODIES = {
    JSON: {"schema": PredictCreate.model_json_schema()},
    MULTIPART: {"schema": _FORM | {"properties": _FORM["properties"] | {"files": _FILES}, "required": ["model", "files"]}},
    OCTET_STREAM: _BINARY,
    NPY: _BINARY,
}

TopK = Annotated[int, Query(ge=1, le=MOST_CLASSES, description="As in a JSON body, for bodies that are an array.")]
Probabilities = Annotated[bool, Query(description="Likewise.")]
PrecisionParam = Annotated[Precision | None, Query(description="Likewise.")]


@router.post(
    "/predict",
    response_model=PredictOut,
    responses={200: {"content": {ARROW: _BINARY}}, **error_responses(*PREDICT_ERRORS, PrecisionNotFound)},
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
async def predict(
    request: Request,
    predictor: PredictorDep,
    settings: SettingsDep,
    model: ModelDep,
    top_k: TopK = TOP_K,
    probabilities: Probabilities = False,
    precision: PrecisionParam = None,
) -> Response:
    """Predict: JSON for every modality, picture files as multipart, or the encoded input itself.

    The latter as a little-endian array in C order (`application/octet-stream`), of the type and shape that
    `GET /v2/models/{model}` tells, or as a `.npy` file (`application/x-npy`), of a model that takes a single input.
    With `Accept: application/vnd.apache.arrow.stream` the answer is a table, a row an input.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in _ARRAYS:
        reference, wanted = require_model(model), Wanted(top_k, probabilities)
        body, version = await read_body(request, settings.max_predict_bytes), await predictor.load(reference, precision)
        encoded = _ARRAYS[content_type](body, version, settings.max_predict_inputs)
    elif content_type == JSON:
        asked = await run_in_threadpool(
            _parse_json, await read_body(request, settings.max_predict_bytes), settings.max_predict_inputs
        )
        version, wanted = await predictor.load(asked.model, asked.precision), _wanted(asked)
        encoded = await predictor.encoded(version, version.encoded, asked.inputs)
    elif content_type == MULTIPART:
        form, files = await _parse_form(request, settings.max_predict_bytes, settings.max_predict_inputs)
        version, wanted = await predictor.load(form.model, form.precision), _wanted(form)
        encoded = await predictor.encoded(version, version.encoded_files, files)
    else:
        raise UnsupportedContentType(f"Send {', '.join(_BODIES)}, not {content_type[:100] or 'nothing'}.")
    return answer(request, await run_prediction(request, predictor, version, encoded), version, wanted)


def answer(request: Request, logits: Logits, version: LoadedModel, wanted: Wanted) -> Response:
    """As JSON, or as an Arrow stream where the caller prefers that."""
    if ARROW not in request.headers.get("accept", ""):
        return Response(responses.to_json(logits, version, wanted), media_type=JSON)
    headers = {"X-Model": version.model, "X-Model-Version": str(version.number)}
    return Response(responses.to_arrow(logits, version, wanted), media_type=ARROW, headers=headers)


def _wanted(form: PredictForm) -> Wanted:
    return Wanted(form.top_k, form.probabilities)


def _parse_json(data: bytes, limit: int) -> PredictCreate:
    body = validated(PredictCreate, data)
    if len(body.inputs) > limit:
        raise InvalidInputs(f"There are {len(body.inputs)} inputs.", [FieldError("/inputs", f"more than {limit}")])
    return body


async def _parse_form(request: Request, most_bytes: int, most_files: int) -> tuple[PredictForm, list[bytes]]:
    form = await _form(request, stream_limited(request, most_bytes), most_files)
    try:
        files, fields = await _parts(form)
    finally:
        await form.close()
    if not files:
        raise InvalidInputs("There are no files.", [FieldError("/files", "send at least one picture")])
    return validated(PredictForm, fields), files


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
