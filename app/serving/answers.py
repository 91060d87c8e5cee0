"""From logits to what a caller reads: label, confidence, the most probable classes, whether the model abstains."""

import io
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import exp, isnan
from typing import NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from app.errors import FieldError, InvalidInputs
from app.serving.loading import LoadedVersion, softmax

FEW = 100
"""Up to so many logits, dictionaries are quicker than what prepares the text."""

TOP_K, MOST_CLASSES = 3, 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a prediction shall hold: how many classes in `top`, and whether the probabilities of all."""

    top_k: int = TOP_K
    probabilities: bool = False


class Answer(NamedTuple):
    """A body, and of how many bytes its JSON is when tensors follow it."""

    content: bytes
    json_bytes: int | None = None


def answer(version: LoadedVersion, wanted: Wanted, logits: NDArray[np.float32]) -> Answer:
    """The JSON answer to one request. Raises InvalidInputs."""
    return Answer(document(logits, version, wanted))


def document(logits: NDArray[np.float32], version: LoadedVersion, wanted: Wanted) -> bytes:
    """The JSON answer to one request. Raises InvalidInputs where the model has no finite answer."""
    found = (_few(logits, version, wanted) if logits.size <= FEW else None) or _many(logits, version, wanted)
    return b'{"model":%b,"version":%d,"predictions":%b}' % (orjson.dumps(version.model), version.number, found)


def table(logits: NDArray[np.float32], version: LoadedVersion, wanted: Wanted) -> bytes:
    """The answer to one request as an Arrow stream, a row an input. Raises InvalidInputs."""
    found = orjson.loads(document(logits, version, wanted))["predictions"]
    columns = {name: [prediction[name] for prediction in found] for name in ("label", "confidence", "abstained", "top")}
    if wanted.probabilities:
        columns["probabilities"] = [list(prediction["probabilities"].values()) for prediction in found]
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def distributions(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Class probabilities (n, classes). Raises InvalidInputs where they are not finite."""
    with np.errstate(invalid="ignore"):
        probabilities = softmax(logits)
    bad = np.flatnonzero(np.isnan(probabilities).any(axis=1))
    if len(bad):
        places = [FieldError(f"/inputs/{row}", "its values are too large for this model") for row in bad]
        raise InvalidInputs("The model has no finite answer to some of the inputs.", places)
    return probabilities


def _few(logits: NDArray[np.float32], version: LoadedVersion, wanted: Wanted) -> bytes | None:
    """The predictions, one for each row of logits (n, classes); None where not all are numbers."""
    classes, threshold = version.classes, version.threshold or 0.0
    found = []
    for row in logits.tolist():
        largest = max(row)
        exponentials = [exp(logit - largest) for logit in row]
        total = sum(exponentials)
        if isnan(total):
            return None
        shares = [exponential / total for exponential in exponentials]
        ranks = sorted(range(len(row)), key=row.__getitem__, reverse=True)[: wanted.top_k]
        top = [{"label": classes[rank], "probability": shares[rank]} for rank in ranks]
        confidence = shares[ranks[0]]
        prediction = {"label": classes[ranks[0]], "confidence": confidence, "abstained": confidence < threshold, "top": top}
        if wanted.probabilities:
            prediction["probabilities"] = dict(zip(classes, shares, strict=True))
        found.append(prediction)
    return orjson.dumps(found)


def _many(logits: NDArray[np.float32], version: LoadedVersion, wanted: Wanted) -> bytes:
    """The same of many rows, put together as text: 64 of them take three quarters of the time. Raises InvalidInputs."""
    probabilities = distributions(logits)
    ranks = np.argsort(-logits, axis=1, kind="stable")[:, : wanted.top_k]
    shares, count = np.take_along_axis(probabilities, ranks, axis=1), ranks.shape[1]
    quoted, numbers = _quoted(version.classes), _numbers(shares)
    labels = [quoted[rank] for rank in ranks.ravel().tolist()]
    abstained = [b"true" if abstains else b"false" for abstains in (shares[:, 0] < (version.threshold or 0.0)).tolist()]
    columns = [labels[::count], numbers[::count], abstained]
    for place in range(count):
        columns += [labels[place::count], numbers[place::count]]
    if wanted.probabilities:
        everything = _numbers(probabilities)
        columns += [everything[place :: len(quoted)] for place in range(len(quoted))]
    form = _form(count, version.classes if wanted.probabilities else ())
    return b"[" + b",".join([form] * len(logits)) % tuple(chain.from_iterable(zip(*columns, strict=True))) + b"]"


@lru_cache(256)
def _form(count: int, classes: tuple[str, ...]) -> bytes:
    """Of a prediction with so many classes in `top`, and the probabilities of these."""
    top = b",".join([b'{"label":%b,"probability":%b}'] * count)
    names = b",".join(name.replace(b"%", b"%%") + b":%b" for name in _quoted(classes))
    more = b',"probabilities":{' + names + b"}" if classes else b""
    return b'{"label":%b,"confidence":%b,"abstained":%b,"top":[' + top + b"]" + more + b"}"


@lru_cache(256)
def _quoted(classes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(map(orjson.dumps, classes))


def _numbers(values: NDArray[np.float64]) -> list[bytes]:
    """As JSON has them, one after the other."""
    return orjson.dumps(values.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
