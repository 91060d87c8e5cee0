"""Table rows of a prediction request, checked cell by cell: objects by column name or arrays in column order."""

from collections.abc import Mapping, Sequence

import polars as pl

from app.errors import FieldError, InvalidInputs
from app.formats.cells import as_numbers, trimmed
from app.formats.names import canonical_name, canonical_text
from app.formats.validation import LIMIT, encodable, pointer, printable
from app.preprocessing.table_columns import MAX_FLOAT32, is_valid_category

Cell = float | str | None
Row = dict[str, Cell]


def parse(values: Sequence[object], kinds: Mapping[str, str]) -> list[Row]:
    """Parse one row per value. `kinds` are the columns in order. Raise InvalidInputs with pointers like `/inputs/3/age`."""
    errors: list[FieldError] = []
    rows = []
    for index, value in enumerate(values):
        rows.append(_row(value, kinds, pointer("inputs", index), errors))
        if len(errors) >= LIMIT:
            break
    if errors:
        raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
    return rows


def with_numbers(rows: Sequence[Mapping[str, str | None]], names: Sequence[str]) -> list[dict[str, Cell]]:
    """Return the rows with numbers in the named columns. A cell that is not a number stays a text."""
    converted: list[dict[str, Cell]] = [dict(row) for row in rows]
    for name in names:
        texts = trimmed(pl.Series([row.get(name) for row in rows], dtype=pl.String))
        for row, text, number in zip(converted, texts, as_numbers(texts), strict=True):
            if name in row:
                row[name] = text if number is None else number
    return converted


def _row(value: object, kinds: Mapping[str, str], where: str, errors: list[FieldError]) -> Row:
    if isinstance(value, Mapping):
        if value.keys() - kinds.keys():
            spelled = {canonical_text(name): name for name in kinds}
            value = {spelled.get(canonical_text(str(name)), str(name)): cell for name, cell in value.items()}
        for name in value.keys() - kinds.keys():
            errors.append(FieldError(where + pointer(name), "the model has no such column"))
        for name in [name for name, kind in kinds.items() if name not in value and kind != "unused"]:
            errors.append(FieldError(where + pointer(name), "this column is missing; send null when its value is unknown"))
        return {name: _cell(value.get(name), kind, where + pointer(name), errors) for name, kind in kinds.items()}
    if isinstance(value, list) and len(value) == len(kinds):
        return {
            name: _cell(cell, kind, where + pointer(position), errors)
            for position, (cell, (name, kind)) in enumerate(zip(value, kinds.items(), strict=True))
        }
    wrong = f"an array of {len(value)} values" if isinstance(value, list) else f"a {type(value).__name__}"
    errors.append(FieldError(where, f"{wrong}: expected an object by column name or an array of {len(kinds)} values"))
    return {}


def _cell(value: object, kind: str, where: str, errors: list[FieldError]) -> Cell:
    if value is None or value == "":
        return None
    problem: str | None = None
    if kind == "number":
        problem = _number_problem(value)
    elif kind == "text":
        problem = None if isinstance(value, str) and encodable(value) else "expected a string or null"
    elif not isinstance(value, str | int | float) or not is_valid_category(str(value)):
        problem = "expected a string, a number, true, false or null"
    if problem:
        errors.append(FieldError(where, problem))
        return None
    if kind == "text":
        return str(value)
    return float(value) if kind == "number" else canonical_name(value)  # type: ignore[arg-type]


def _number_problem(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number or null, not {printable(repr(value), 40)}"
    if not abs(value) <= MAX_FLOAT32:  # also true for NaN; integers of any length can be compared
        return "not a finite 32-bit number"
    return None
