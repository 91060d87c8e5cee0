"""Parsers of simple prediction requests, which take microseconds and decline everything else.

The routes accept every request that these parsers accept, give the same response, and explain the errors of the rest.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from app.artifacts import GRAPHS, Precision
from app.fast_path.form_parsing import parse_form
from app.formats.json_limits import exceeded_limit
from app.modalities.base import Encoded
from app.schemas.limits import MAX_TOP_K
from app.schemas.open_inference import InferRequest
from app.serving import open_inference, responses, tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.responses import EncodedResponse, OutputOptions

_PARAMETERS = {"model", "top_k", "probabilities", "precision"}
_FIELDS = _PARAMETERS | {"inputs"}
_DEFAULT_OPTIONS = OutputOptions()
MAX_JSON_BYTES = 8192
"""Largest JSON beside the inputs that the event loop parses; the routes parse larger ones in a thread."""

MAX_FORM_BYTES = 128 * 1024
"""Largest form that the event loop parses."""

GetLoadedModel = Callable[[str, Precision | None], LoadedModel | None]


class ParsedRequest(NamedTuple):
    """A loaded version, the encoded inputs, and the function that encodes its logits (n, classes) or raises InvalidInputs."""

    version: LoadedModel
    encoded: Encoded
    encode_response: Callable[[NDArray[np.float32]], EncodedResponse]


def parse_json(get_loaded: GetLoadedModel, max_inputs: int, body: bytes) -> ParsedRequest | None:
    """Parse a JSON body of `POST /predict`. Raises PrecisionNotFound."""
    start, end = body.find(b"["), body.rfind(b"]") + 1
    if start + len(body) - end > MAX_JSON_BYTES or exceeded_limit(body):
        return None
    # `inputs` is the text from the first to the last bracket; if it is not, the remaining text is not such a document
    fields = _parse(body[:start] + b"[]" + body[end:])
    if type(fields) is not dict or fields.get("inputs") != [] or not _FIELDS.issuperset(fields):
        return None
    reference, options = fields.get("model"), _options(fields)
    if type(reference) is not str or options is None or not _is_precision(fields.get("precision")):
        return None
    version = get_loaded(reference, fields.get("precision"))
    if version is None:
        return None
    inputs = version.fast_encode(body[start:end], max_inputs)
    if inputs is None:
        return None
    return ParsedRequest(version, inputs.arrays, partial(responses.encode_response, version, options, inputs.warnings))


def parse_invocation(
    query: bytes, model_header: bytes | None, get_loaded: GetLoadedModel, max_inputs: int, body: bytes
) -> ParsedRequest | None:
    """Parse a JSON body of `POST /invocations` without parameters, whose model is in the query or in a header."""
    if len(body) > MAX_JSON_BYTES or b"&" in query or exceeded_limit(body):
        return None
    parameters = _parse_parameters(query, model_header)
    version = get_loaded(parameters.reference, None) if parameters else None
    fields = _parse(body)
    if version is None or type(fields) is not dict or len(fields) != 1:
        return None
    rows = _rows_of_invocation(*fields.popitem(), has_objects=version.modality.rows_are_objects)
    inputs = version.fast_encode(orjson.dumps(rows), max_inputs) if rows is not None else None
    if inputs is None:
        return None
    return ParsedRequest(version, inputs.arrays, partial(responses.encode_response, version, _DEFAULT_OPTIONS, inputs.warnings))


def _rows_of_invocation(kind: str, values: Any, *, has_objects: bool) -> list[Any] | None:
    """Return the rows in the format of `POST /predict`, None for those that only the routes read."""
    if kind in ("inputs", "instances"):
        return values if type(values) is list else None
    if not has_objects:
        return None
    if kind == "dataframe_records":
        return values if type(values) is list and all(type(row) is dict for row in values) else None
    if kind != "dataframe_split" or type(values) is not dict or values.keys() - {"index"} != {"columns", "data"}:
        return None
    columns, rows = values["columns"], values["data"]
    if type(columns) is not list or type(rows) is not list or not all(type(name) is str for name in columns):
        return None
    if len(set(columns)) < len(columns) or not all(type(row) is list and len(row) == len(columns) for row in rows):
        return None
    return [dict(zip(columns, row, strict=True)) for row in rows]


def parse_octet_stream(
    query: bytes, model_header: bytes | None, get_loaded: GetLoadedModel, max_inputs: int, body: bytes
) -> ParsedRequest | None:
    """Parse a raw array whose model is in the query or in a header. Raises InvalidInputs, PrecisionNotFound."""
    parameters = _parse_parameters(query, model_header)
    version = get_loaded(parameters.reference, parameters.precision) if parameters else None
    if parameters is None or version is None:
        return None
    encoded = tensor_inputs.from_bytes(body, version, max_inputs)
    return ParsedRequest(version, encoded, partial(responses.encode_response, version, parameters.options, ()))


def parse_files(boundary: bytes, get_loaded: GetLoadedModel, max_inputs: int, body: bytes) -> ParsedRequest | None:
    """Parse a form with small files. Raises InvalidInputs, PrecisionNotFound."""
    form = parse_form(boundary, body) if len(body) <= MAX_FORM_BYTES else None
    parameters = _parameters_of(form.fields) if form else None
    if form is None or parameters is None or not 0 < len(form.files) <= max_inputs:
        return None
    version = get_loaded(parameters.reference, parameters.precision)
    if version is None or not version.modality.can_decode_at_once(form.files):
        return None
    encoded = version.encode_files(form.files)
    return ParsedRequest(version, encoded, partial(responses.encode_response, version, parameters.options, ()))


def parse_tensors(
    reference: str, json_length: bytes | None, get_loaded: GetLoadedModel, max_inputs: int, body: bytes
) -> ParsedRequest | None:
    """Parse an Open Inference Protocol request, whose first `json_length` bytes are JSON. Raises InvalidInputs."""
    version = get_loaded(reference, None)
    size = _json_size(json_length, body)
    if version is None or not 0 < size <= min(len(body), MAX_JSON_BYTES):
        return None
    try:
        request = InferRequest.model_validate_json(body[:size])
    except ValidationError:
        return None
    if any(tensor.datatype == "BYTES" for tensor in request.inputs):  # a small image file may decode to a large image
        return None
    encoded = open_inference.encode(request, body[size:], version, max_inputs)
    return ParsedRequest(version, encoded, partial(open_inference.encode_response, request, version))


def _json_size(json_length: bytes | None, body: bytes) -> int:
    """Return the size of the JSON part, 0 if the header is not a number."""
    if json_length is None:
        return len(body)
    return int(json_length) if json_length.isdigit() and len(json_length) < 12 else 0


class _Parameters(NamedTuple):
    reference: str
    precision: Precision | None
    options: OutputOptions


@lru_cache(1024)
def _parse_parameters(query: bytes, model_header: bytes | None) -> _Parameters | None:
    """Return the parameters beside the body, or None if only the routes can validate them."""
    fields = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    if model_header is not None:
        fields["model"] = model_header.decode("latin-1")
    return _parameters_of(fields)


def _parameters_of(texts: dict[str, str]) -> _Parameters | None:
    fields: dict[str, Any] = dict(texts)
    reference = fields.get("model")
    if reference is None or not _PARAMETERS.issuperset(fields) or not _is_precision(fields.get("precision")):
        return None
    if "top_k" in fields:
        is_number = fields["top_k"].isascii() and fields["top_k"].isdecimal() and len(fields["top_k"]) < 10
        fields["top_k"] = int(fields["top_k"]) if is_number else None
    if "probabilities" in fields:
        fields["probabilities"] = {"true": True, "false": False}.get(fields["probabilities"])
    options = _options(fields)
    return _Parameters(reference, fields.get("precision"), options) if options else None


def _is_precision(value: object) -> bool:
    return value is None or (type(value) is str and value in GRAPHS)


def _options(fields: dict[str, Any]) -> OutputOptions | None:
    top_k = fields.get("top_k", _DEFAULT_OPTIONS.top_k)
    probabilities = fields.get("probabilities", _DEFAULT_OPTIONS.probabilities)
    if type(top_k) is not int or not 0 < top_k <= MAX_TOP_K or type(probabilities) is not bool:
        return None
    return OutputOptions(top_k, probabilities)


def _parse(text: bytes) -> Any:
    """Return the value of a JSON text, None if it is invalid."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
