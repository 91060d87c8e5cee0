"""Prediction requests whose bodies are plain to see: read within microseconds, or left to the routes, which look closely.

The routes accept all that this does, with the same answers, and tell what is wrong with the rest.
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
from app.modalities.base import Encoded
from app.schemas.limits import MOST_CLASSES
from app.schemas.open_inference import InferRequest
from app.serving import open_inference, responses, tensor_inputs
from app.serving.loaded_model import LoadedModel
from app.serving.responses import EncodedResponse, Wanted

_PARAMETERS = {"model", "top_k", "probabilities", "precision"}
_FIELDS = _PARAMETERS | {"inputs"}
_DEFAULT = Wanted()
FEW_BYTES = 8192
"""Up to so many, lists of a few thousand numbers are quicker than operations on their text."""

GetLoadedModel = Callable[[str, Precision | None], LoadedModel | None]


class ParsedRequest(NamedTuple):
    """A version that is loaded, its encoded inputs, and what to make of its logits (n, classes). It raises InvalidInputs."""

    version: LoadedModel
    encoded: Encoded
    answer: Callable[[NDArray[np.float32]], EncodedResponse]


def parse_json(ready: GetLoadedModel, most_inputs: int, body: bytes) -> ParsedRequest | None:
    """A JSON body of `POST /predict`. Raises PrecisionNotFound."""
    start, end = body.find(b"["), body.rfind(b"]") + 1
    # all between the first and the last bracket is `inputs`, or else the rest is no such document: no bracket is left in it
    fields = _loaded(body[:start] + b"[]" + body[end:])
    if type(fields) is not dict or fields.get("inputs") != [] or not _FIELDS.issuperset(fields):
        return None
    reference, wanted = fields.get("model"), _wanted(fields)
    if type(reference) is not str or wanted is None or not _names_graph(fields):
        return None
    version = ready(reference, fields.get("precision"))
    if version is None:
        return None
    encoded = version.fast_encode(body[start:end], most_inputs)
    return ParsedRequest(version, encoded, partial(responses.answer, version, wanted)) if encoded is not None else None


def parse_octet_stream(
    query: bytes, header: bytes | None, ready: GetLoadedModel, most_inputs: int, body: bytes
) -> ParsedRequest | None:
    """A raw array, with the model in the query or in a header. Raises InvalidInputs, PrecisionNotFound."""
    asked = _asked(query, header)
    version = ready(asked.reference, asked.precision) if asked else None
    if asked is None or version is None:
        return None
    return ParsedRequest(
        version, tensor_inputs.of_bytes(body, version, most_inputs), partial(responses.answer, version, asked.wanted)
    )


def parse_tensors(
    reference: str, length: bytes | None, ready: GetLoadedModel, most_inputs: int, body: bytes
) -> ParsedRequest | None:
    """Of the Open Inference Protocol; `length` says how much of the body is JSON. Raises InvalidInputs."""
    version = ready(reference, None)
    size = len(body) if length is None else int(length) if length.isdigit() and len(length) < 12 else 0
    if version is None or not 0 < size <= min(len(body), FEW_BYTES):
        return None
    try:
        asked = InferRequest.model_validate_json(body[:size])
    except ValidationError:
        return None
    if any(tensor.datatype == "BYTES" for tensor in asked.inputs):  # a small picture file may be a large picture
        return None
    encoded = open_inference.encoded(asked, body[size:], version, most_inputs)
    return ParsedRequest(version, encoded, partial(open_inference.response, asked, version))


class _Asked(NamedTuple):
    reference: str
    precision: Precision | None
    wanted: Wanted


@lru_cache(1024)
def _asked(query: bytes, header: bytes | None) -> _Asked | None:
    """What stands beside the body; None where a parameter is not plain."""
    fields: dict[str, Any] = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    reference = fields.get("model") if header is None else header.decode("latin-1")
    if reference is None or not _PARAMETERS.issuperset(fields) or not _names_graph(fields):
        return None
    if "top_k" in fields:
        is_plain = fields["top_k"].isascii() and fields["top_k"].isdecimal() and len(fields["top_k"]) < 10
        fields["top_k"] = int(fields["top_k"]) if is_plain else None
    if "probabilities" in fields:
        fields["probabilities"] = {"true": True, "false": False}.get(fields["probabilities"])
    wanted = _wanted(fields)
    return _Asked(reference, fields.get("precision"), wanted) if wanted else None


def _names_graph(fields: dict[str, Any]) -> bool:
    """Whether the precision, where one is named, is one that there is."""
    precision = fields.get("precision")
    return precision is None or (type(precision) is str and precision in GRAPHS)


def _wanted(fields: dict[str, Any]) -> Wanted | None:
    top_k, probabilities = fields.get("top_k", _DEFAULT.top_k), fields.get("probabilities", _DEFAULT.probabilities)
    if type(top_k) is not int or not 0 < top_k <= MOST_CLASSES or type(probabilities) is not bool:
        return None
    return Wanted(top_k, probabilities)


def _loaded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
