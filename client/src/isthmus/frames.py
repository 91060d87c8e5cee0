"""Inputs of predictions from frames, arrays, images and lists, and predictions in the kind of frame that was passed."""

from collections.abc import Callable, Sequence
from typing import Any

from isthmus.records import Prediction
from isthmus.values import is_image, plain

Rebuild = Callable[[list[Prediction]], Any]
VALUES = ("text", "image", "series")
"""Modalities whose inputs are values; those of others are objects by column name."""


def split(rows: Any, modality: str | None) -> tuple[list[Any], Rebuild]:
    """Return the inputs as JSON values, and the function that turns the predictions into the result."""
    if hasattr(rows, "to_frame") and not hasattr(rows, "columns"):  # a series of texts
        return split(rows.to_frame(), "text")
    if hasattr(rows, "to_dicts"):  # polars
        return _values(rows.to_dicts(), modality), lambda found: type(rows)(columns(found))
    if hasattr(rows, "to_dict") and hasattr(rows, "index"):  # pandas
        return _values(rows.to_dict(orient="records"), modality), lambda found: type(rows)(columns(found), index=rows.index)
    if hasattr(rows, "from_dict") and hasattr(rows, "features"):  # datasets.Dataset
        return _values(list(rows), modality), lambda found: type(rows).from_dict(columns(found))
    return [plain(each) for each in (rows.tolist() if hasattr(rows, "tolist") else rows)], lambda found: found


def columns(predictions: Sequence[Prediction]) -> dict[str, list[Any]]:
    """Return the columns of a frame, named as in the output of batch predictions."""
    table: dict[str, list[Any]] = {name: [each[name] for each in predictions] for name in ("label", "confidence", "abstained")}
    for rank in range(1, max((len(each.top) for each in predictions), default=0)):
        table[f"label_{rank + 1}"] = [each.top[rank]["label"] for each in predictions]
        table[f"confidence_{rank + 1}"] = [each.top[rank]["probability"] for each in predictions]
    first = predictions[0].data.get("probabilities") if predictions else None
    return table | {f"probability_{name}": [each["probabilities"][name] for each in predictions] for name in first or ()}


def _values(rows: list[dict[str, Any]], modality: str | None) -> list[Any]:
    """Return objects, or the values of one column. Without a modality, a single column of texts or images gives values."""
    names = list(rows[0]) if rows else []
    single = modality is None and len(names) == 1 and (is_image(rows[0][names[0]]) or isinstance(rows[0][names[0]], str))
    if modality not in VALUES and not single:
        return [plain(row) for row in rows]
    column = next((name for name in (modality, "img") if name in names), names[0] if names else "")
    return [plain(row[column]) for row in rows]
