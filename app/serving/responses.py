"""Responses of predictions: label, confidence, the most probable classes, and whether the model abstains."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isnan
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from app.formats.data_warnings import DataWarning
from app.schemas.limits import DEFAULT_TOP_K
from app.serving.loaded_model import LoadedModel
from app.serving.probabilities import class_probabilities

PURE_PYTHON_MAX_LOGITS = 64
"""Up to this number of logits, pure Python is faster than a dozen calls of NumPy."""

Rows = list[list[float]]
Ranks = list[list[int]]


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The content of a prediction: the number of classes in `top`, and whether all probabilities are included."""

    top_k: int = DEFAULT_TOP_K
    probabilities: bool = False


class EncodedResponse(NamedTuple):
    """A body, and the size of its JSON if binary tensors follow it."""

    content: bytes
    json_bytes: int | None = None


def encode_response(
    version: LoadedModel, options: OutputOptions, warnings: Sequence[DataWarning], logits: NDArray[np.float32]
) -> EncodedResponse:
    """Return the JSON response to one request. Raise InvalidInputs."""
    return EncodedResponse(to_json(logits, version, options, warnings))


def to_json(
    logits: NDArray[np.float32], version: LoadedModel, options: OutputOptions, warnings: Sequence[DataWarning] = ()
) -> bytes:
    """Return the body of the JSON response to one request. Raise InvalidInputs."""
    rows = predictions(logits, version, options)
    body = {"model": version.model, "version": version.number, "predictions": rows}
    return orjson.dumps(body | {"warnings": list(warnings)} if warnings else body)


def to_arrow(logits: NDArray[np.float32], version: LoadedModel, options: OutputOptions) -> bytes:
    """Return the response to one request as an Arrow stream with a row per input. Raise InvalidInputs."""
    rows = predictions(logits, version, options)
    columns = {name: [prediction[name] for prediction in rows] for name in ("label", "confidence", "abstained", "top")}
    if options.probabilities:
        columns["probabilities"] = [list(prediction["probabilities"].values()) for prediction in rows]
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def predictions(logits: NDArray[np.float32], version: LoadedModel, options: OutputOptions) -> list[dict[str, Any]]:
    """Return a prediction per row of logits (n, classes). Raise InvalidInputs for rows without finite logits."""
    rows, ranks = (
        _rank_small(logits, options.top_k) if logits.size <= PURE_PYTHON_MAX_LOGITS else _rank_large(logits, options.top_k)
    )
    classes, threshold = version.classes, version.threshold
    results = []
    for row, order in zip(rows, ranks, strict=True):
        top = [{"label": classes[rank], "probability": row[rank]} for rank in order]
        confidence = row[order[0]]
        prediction = {"label": classes[order[0]], "confidence": confidence, "abstained": confidence < threshold, "top": top}
        if options.probabilities:
            prediction["probabilities"] = dict(zip(classes, row, strict=True))
        results.append(prediction)
    return results


def _rank_small(logits: NDArray[np.float32], top_k: int) -> tuple[Rows, Ranks]:
    rows, ranks = [], []
    for row in logits.tolist():
        largest = max(row)
        exponentials = [exp(logit - largest) for logit in row]
        total = sum(exponentials)
        if isnan(total):
            return _rank_large(logits, top_k)
        rows.append([exponential / total for exponential in exponentials])
        ranks.append(sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k])
    return rows, ranks


def _rank_large(logits: NDArray[np.float32], top_k: int) -> tuple[Rows, Ranks]:
    probabilities = class_probabilities(logits)
    ranks = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    return probabilities.tolist(), ranks.tolist()
