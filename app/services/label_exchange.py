"""Rows to label as tasks of Label Studio or as CSV, and the labels that come back."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from app.db.label_tables import LabelRequestRow
from app.errors import FieldError, InvalidRequest
from app.schemas.label_requests import Answer

UNCLEAR = "unclear"
_LABEL_COLUMNS = ("label", "choice")
EXPECTED = "send the results of Label Studio as JSON or CSV, or a CSV file with the columns row and label"


def tasks(request: LabelRequestRow) -> list[dict[str, Any]]:
    """Return the open rows as tasks of Label Studio, without predictions."""
    opened = [row for row in request.rows if row.label is None and not row.unclear]
    return [{"data": {"request": str(request.id), "row": row.row, **_task_values(row.preview)}} for row in opened]


def _task_values(preview: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the labelling interface shows: an image, a text, or a table of columns."""
    if "thumbnail" in preview:
        return {"image": preview["thumbnail"]}
    if preview.keys() == {"text"}:
        return {"text": preview["text"]}
    return {"values": {name: _cell(value) for name, value in preview.items()}}


def _cell(value: Any) -> str:
    """Return a value as people write it: whole numbers without a fraction."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def interface(request: LabelRequestRow) -> str:
    """Return the labelling interface of Label Studio, with a choice for each class and one for unclear rows."""
    kind = _task_values(request.rows[0].preview)
    shown = next(
        tag
        for name, tag in {
            "image": '<Image name="row" value="$image"/>',
            "text": '<Text name="row" value="$text"/>',
            "values": '<Table name="row" value="$values"/>',
        }.items()
        if name in kind
    )
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in [*request.classes, UNCLEAR])
    return f'<View>\n  {shown}\n  <Choices name="label" toName="row">\n{choices}\n  </Choices>\n</View>\n'


def table(request: LabelRequestRow) -> str:
    """Return all rows with their answers as CSV; columns of tables and texts are added."""
    shown = [name for name in request.rows[0].preview if name not in ("thumbnail", *_LABEL_COLUMNS, "row")]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(["row", "label", *shown])
    for row in request.rows:
        writer.writerow([row.row, UNCLEAR if row.unclear else row.label or "", *(_cell(row.preview.get(name)) for name in shown)])
    return output.getvalue()


def parse(content: bytes, media_type: str) -> list[Answer]:
    """Read answers from JSON or CSV. Rows without an answer are left out. Raise InvalidRequest."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("", "the file is not UTF-8") from error
    found = _from_csv(text) if media_type == "text/csv" else _from_json(text)
    answers = [_answer(number, row, label) for number, (row, label) in enumerate(found) if label]
    if not answers:
        raise _invalid("", f"the file has no labels; {EXPECTED}")
    return answers


def _from_csv(text: str) -> list[tuple[Any, str | None]]:
    reader = csv.DictReader(io.StringIO(text))
    try:
        return [(row.get("row"), _label_of(row)) for row in reader]
    except csv.Error as error:
        raise _invalid("", f"the file is not CSV: {error}") from error


def _from_json(text: str) -> list[tuple[Any, str | None]]:
    try:
        results = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _invalid("", f"the file is not JSON: {error}") from error
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise _invalid("", f"the file is no list of tasks; {EXPECTED}")
    return [_of_task(one) if "annotations" in one else (one.get("row"), _label_of(one)) for one in results]


def _of_task(task: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Return row and label of a task of the full JSON export: the last annotation that was not cancelled."""
    data, label = task.get("data"), None
    for annotation in _dicts(task["annotations"]):
        for result in () if annotation.get("was_cancelled") else _dicts(annotation.get("result")):
            value = result.get("value")
            label = _single(value.get("choices")) if isinstance(value, dict) else label
    return data.get("row") if isinstance(data, dict) else None, label


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _label_of(row: Mapping[str, Any]) -> str | None:
    """Return the label of a flat result, whose column has the name of the control."""
    return next((_single(row[name]) for name in _LABEL_COLUMNS if name in row), None)


def _single(value: Any) -> str | None:
    """Return the first choice of a value that is a name, a list of names, or an object with one."""
    if isinstance(value, dict):
        value = value.get("choices")
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return None if value is None or isinstance(value, dict | list) else str(value)


def _answer(number: int, row: Any, label: str | None) -> Answer:
    try:
        position = int(row)
    except (TypeError, ValueError):
        raise _invalid(f"/rows/{number}/row", "the row has no number `row`, which the export gives to each task") from None
    if not 1 <= position < 2**53:
        raise _invalid(f"/rows/{number}/row", f"there is no row {position}")
    return Answer(row=position, unclear=True) if label == UNCLEAR else Answer(row=position, label=(label or "")[:1000])


def _invalid(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, [FieldError(pointer, detail)])
