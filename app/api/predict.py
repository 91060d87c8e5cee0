"""The route of predictions."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.authorization import CallerDep, requires
from app.api.deps import SCHEMA_REFERENCE, SettingsDep, error_responses
from app.api.large_bodies import HOLDS_BODY_SLOTS
from app.api.middleware import own_body_limit
from app.api.request_bodies import (
    ModelDep,
    PredictorDep,
    read_body,
    read_text,
    require_model,
    run_prediction,
    stream_limited,
    validated,
)
from app.artifacts import Precision
from app.errors import (
    ArtifactCorrupt,
    FieldError,
    InvalidInputs,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PrecisionNotFound,
    UnsupportedContentEncoding,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.formats.validation import pointer
from app.modalities.base import Encoded, EncodedInputs
from app.schemas.limits import DEFAULT_TOP_K, MAX_TOP_K
from app.schemas.predict import PredictCreate, PredictForm, PredictOut
from app.serving import responses, tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.serving.responses import OutputOptions

router = APIRouter(tags=["predict"])

JSON, MULTIPART, OCTET_STREAM, NPY = "application/json", "multipart/form-data", "application/octet-stream", "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"
PREDICT_ERRORS = (
    ModelNotFound,
    InvalidRequest,
    InvalidInputs,
    UploadTooLarge,
    UnsupportedContentType,
    UnsupportedContentEncoding,
    ArtifactCorrupt,
    Overloaded,
)

DecodeArray = Callable[[bytes, LoadedModel, int], Encoded]
_ARRAYS: dict[str, DecodeArray] = {OCTET_STREAM: tensor_inputs.from_bytes, NPY: tensor_inputs.from_npy}
_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "format": "binary"},
    "description": "Images, or series in `.npy`, `.npz`, CSV or WAV files.",
}
_FORM = PredictForm.model_json_schema(ref_template=SCHEMA_REFERENCE)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODIES = {
    JSON: {"schema": PredictCreate.model_json_schema(ref_template=SCHEMA_REFERENCE)},
    MULTIPART: {"schema": _FORM | {"properties": _FORM["properties"] | {"files": _FILES}, "required": ["model", "files"]}},
    OCTET_STREAM: _BINARY,
    NPY: _BINARY,
}


class QueryOptions(NamedTuple):
    """Options of a request whose body is an array and cannot hold them."""

    output: OutputOptions
    precision: Precision | None


async def get_query_options(
    top_k: Annotated[
        int, Query(ge=1, le=MAX_TOP_K, description="For array bodies: maximum number of classes in `top`.")
    ] = DEFAULT_TOP_K,
    probabilities: Annotated[
        bool, Query(description="For array bodies: whether the response has the probability of every class.")
    ] = False,
    precision: Annotated[
        Precision | None, Query(description="For array bodies: graph to run. Default: the setting of the server.")
    ] = None,
) -> QueryOptions:
    """Return the options of the query."""
    return QueryOptions(OutputOptions(top_k, probabilities), precision)


@router.post(
    "/predict",
    dependencies=[requires("predict"), HOLDS_BODY_SLOTS],
    response_model=PredictOut,
    responses={200: {"content": {ARROW: _BINARY}}, **error_responses(*PREDICT_ERRORS, PrecisionNotFound)},
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
@own_body_limit
async def predict(
    request: Request,
    predictor: PredictorDep,
    settings: SettingsDep,
    caller: CallerDep,
    model: ModelDep,
    query: Annotated[QueryOptions, Depends(get_query_options)],
) -> Response:
    """Predict the classes of inputs, sent as JSON (every modality), as files (images, series), or as an array.

    An array is little-endian in C order (`application/octet-stream`) or a `.npy` file (`application/x-npy`). Its type and shape
    are those of `GET /v2/models/{model}`; the model must have a single input. With
    `Accept: application/vnd.apache.arrow.stream` the response is a table with one row for each input; its header `X-Warnings`
    has the codes of the warnings. The body may be compressed (`Content-Encoding: gzip` or `deflate`).
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in _ARRAYS:
        reference, options = require_model(model), query.output
        body, version = (
            await read_body(request, settings.max_predict_bytes),
            await predictor.load(caller, reference, query.precision),
        )
        inputs = EncodedInputs(_ARRAYS[content_type](body, version, settings.max_predict_inputs))
    elif content_type == JSON:
        body = await read_text(request, settings.max_predict_bytes)
        create = await run_in_threadpool(_parse_json, body, settings.max_predict_inputs)
        version, options = await predictor.load(caller, create.model, create.precision), _output_options(create)
        inputs = await predictor.encode(version, partial(version.encode_json, strict=create.strict), create.inputs)
    elif content_type == MULTIPART:
        form, files = await _parse_form(request, settings.max_predict_bytes, settings.max_predict_inputs)
        version, options = await predictor.load(caller, form.model, form.precision), _output_options(form)
        inputs = EncodedInputs(await predictor.encode(version, version.encode_files, files))
    else:
        raise UnsupportedContentType(f"Send {', '.join(_BODIES)}, not {content_type[:100] or 'nothing'}.")
    return await respond(request, predictor, version, inputs, options)


async def respond(
    request: Request, predictor: Predictor, version: LoadedModel, inputs: EncodedInputs, options: OutputOptions
) -> Response:
    """Predict, and return the predictions as JSON, or as an Arrow stream if the client accepts that."""
    logits = await run_prediction(request, predictor, version, inputs.arrays)
    if ARROW not in request.headers.get("accept", ""):
        return Response(responses.to_json(logits, version, options, inputs.warnings), media_type=JSON)
    headers = {"X-Model": version.model, "X-Model-Version": str(version.number)}
    if inputs.warnings:
        headers["X-Warnings"] = ", ".join(sorted({warning.code for warning in inputs.warnings}))
    return Response(responses.to_arrow(logits, version, options), media_type=ARROW, headers=headers)


def _output_options(form: PredictForm) -> OutputOptions:
    return OutputOptions(form.top_k, form.probabilities)


def _parse_json(data: bytes, max_inputs: int) -> PredictCreate:
    body = validated(PredictCreate, data)
    if len(body.inputs) > max_inputs:
        raise InvalidInputs(f"There are {len(body.inputs)} inputs.", [FieldError("/inputs", f"more than {max_inputs}")])
    return body


async def _parse_form(request: Request, max_bytes: int, max_files: int) -> tuple[PredictForm, list[bytes]]:
    form = await _read_form(request, stream_limited(request, max_bytes), max_files)
    try:
        files, fields = await _split_form(form)
    finally:
        await form.close()
    if not files:
        raise InvalidInputs("There are no files.", [FieldError("/files", "send at least one file")])
    return validated(PredictForm, fields), files


async def _read_form(request: Request, body: AsyncGenerator[bytes, None], max_files: int) -> FormData:
    parser = MultiPartParser(request.headers, body, max_files=max_files, max_fields=10)
    try:
        return await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InvalidRequest("The multipart body is malformed.", [FieldError("", str(error))]) from error


async def _split_form(form: FormData) -> tuple[list[bytes], dict[str, str]]:
    """Return the contents of `files` in their order, and the text fields. Raises InvalidRequest for other files."""
    files, fields = [], {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields[name] = value
        elif name == "files":
            files.append(await value.read())
        else:
            raise InvalidRequest(errors=[FieldError(pointer(name), "send the files in fields named `files`")])
    return files, fields
