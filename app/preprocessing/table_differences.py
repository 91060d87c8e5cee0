"""Differences between the columns of datasets: those that prevent a job, and those that a sender should know."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.formats.data_warnings import DataWarning
from app.formats.validation import LIMIT, pointer, printable

_PLURALS = {"number": "numbers", "category": "categories", "text": "texts", "empty": "no values"}
_SHOWN = 5


def kinds(details: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of the columns; what is not learned fits every kind."""
    return {column["name"]: "empty" if "role" in column else column["kind"] for column in details["columns"]}


def shared_columns(source: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the columns with values in both, in the order of the source."""
    given = kinds(other)
    return [name for name, kind in kinds(source).items() if kind != "empty" and given.get(name, "empty") != "empty"]


def unshared(source: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the columns that only the source has, and those that only the other dataset has."""
    first, second = kinds(source), kinds(other)
    only_source = [name for name, kind in first.items() if kind != "empty" and name not in second]
    return only_source, [name for name, kind in second.items() if kind != "empty" and name not in first]


def different_kinds(expected: Mapping[str, str], given: Mapping[str, str], owner: str) -> list[str]:
    """Return a sentence for each column with values of another kind."""
    return [
        f"column {printable(name, 50)!r} contains {_PLURALS[given[name]]}, in {owner} {_PLURALS[kind]}"
        for name, kind in expected.items()
        if name in given and given[name] != kind and "empty" not in (kind, given[name])
    ][:LIMIT]


def joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of two tables as one: the columns with values in both, in the order of the first."""
    others = {column["name"]: column for column in second["columns"]}
    shared = set(shared_columns(first, second))
    columns = [_joined_column(column, others[column["name"]]) for column in first["columns"] if column["name"] in shared]
    return {**first, "columns": columns}


def _joined_column(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    column = {name: value for name, value in first.items() if name not in ("levels", "range")}
    column["missing"] += second["missing"]
    if "levels" in first and "levels" in second:
        column["levels"] = sorted({*first["levels"], *second["levels"]})
    if "range" in first and "range" in second:
        ends = [*first["range"], *second["range"]]
        column["range"] = [min(ends), max(ends)]
    if missing := {*first.get("sentinels", ()), *second.get("sentinels", ())}:
        column["sentinels"] = sorted(missing)
    return column


def all_differences(expected: Mapping[str, str], given: Mapping[str, str], owner: str) -> list[str]:
    """Return a sentence for each column that is missing, unknown or of another kind."""
    absent = [name for name, kind in expected.items() if name not in given and kind != "empty"]
    missing = [f"column {name!r} of {owner} is missing" for name in absent]
    unknown = [f"column {name!r} is not in {owner}" for name, kind in given.items() if name not in expected and kind != "empty"]
    return [*missing, *unknown, *different_kinds(expected, given, owner)][:LIMIT]


def prevented(source: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return why a job cannot use the two together: no shared column, or values of different kinds."""
    reasons = different_kinds(kinds(source), kinds(other), "the source")
    if not reasons and not shared_columns(source, other):
        names, others = (", ".join(repr(printable(name, 50)) for name in list(kinds(one))[:_SHOWN]) for one in (source, other))
        reasons = [f"the source has the columns {names}, this has {others}: give the columns the same names"]
    return reasons


def warnings(source: Mapping[str, Any], other: Mapping[str, Any], role: str) -> list[DataWarning]:
    """Return what is different, but does not prevent a job. `role` is the use of the other dataset."""
    columns = {column["name"]: column for column in other["columns"]}
    pairs = [(column, columns[column["name"]]) for column in source["columns"] if column["name"] in columns]
    found = [*_unshared_warnings(source, other, role)]
    for first, second in pairs:
        found += [*_pair_warnings(first, second, role)]
    return found[:LIMIT]


def _unshared_warnings(source: Mapping[str, Any], other: Mapping[str, Any], role: str) -> Iterator[DataWarning]:
    only_source, only_other = unshared(source, other)
    for names, owner, lacks in ((only_source, "source", role), (only_other, role, "source")):
        if names:
            shown = ", ".join(repr(printable(name, 50)) for name in names[:_SHOWN])
            message = f"{len(names)} columns of the {owner} are not used, because the {lacks} does not have them: {shown}"
            yield DataWarning("unshared_columns", message, pointer(role), tuple(names[:_SHOWN]))


def _pair_warnings(first: Mapping[str, Any], second: Mapping[str, Any], role: str) -> Iterator[DataWarning]:
    name, shown = first["name"], printable(first["name"], 50)
    levels, others = first.get("levels"), second.get("levels")
    if levels and others and (unknown := sorted(set(others) - set(levels))):
        examples = ", ".join(repr(printable(level, 50)) for level in unknown[:_SHOWN])
        message = f"column {shown!r}: {len(unknown)} of {len(others)} levels of the {role} are not in the source: {examples}"
        yield DataWarning("unknown_levels", message, pointer(role, name), tuple(unknown[:_SHOWN]))
    if "range" in first and "range" in second:
        (low, high), (other_low, other_high) = first["range"], second["range"]
        if (other_low > high or other_high < low) and low < high:
            message = (
                f"column {shown!r}: the values of the {role} ({other_low:g} to {other_high:g}) do not overlap those of the source"
                f" ({low:g} to {high:g}); check units and scales"
            )
            yield DataWarning("ranges_apart", message, pointer(role, name))
    if first.get("unit") and second.get("unit") and first["unit"] != second["unit"]:
        message = f"column {shown!r} is in {first['unit']!r} in the source and in {second['unit']!r} in the {role}: convert one"
        yield DataWarning("different_units", message, pointer(role, name), (first["unit"], second["unit"]))
