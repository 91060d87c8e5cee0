"""The check of a table: one pass that detects the columns and counts classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats import parquet, tables
from app.formats.cells import is_supported
from app.formats.class_labels import ClassCounter, count_labels
from app.formats.names import canonical_text
from app.formats.row_blocks import default_label, require_column
from app.formats.validation import ErrorCollector, pointer, printable
from app.preprocessing import column_roles
from app.preprocessing.sentinels import ValueRange
from app.preprocessing.table_columns import ColumnProfile
from app.preprocessing.table_options import TableOptions

MAX_LISTED_LEVELS = 100


class TableCheck:
    """One pass over a table. Raise InvalidDataset from every method."""

    def __init__(self, path: Path, format: str, options: TableOptions) -> None:
        self._path, self._format, self._options = path, format, options
        self._schema = tables.schema(path, format, options.layout)
        _require_columns(self._schema, options)
        self.label = label_column(options, list(self._schema))
        self._columns = self._feature_columns()
        self._errors, self._sample = ErrorCollector(), column_roles.Sample()
        self._labels = ClassCounter(pointer("columns", self.label or ""))
        self.rows = 0

    def run(self) -> dict[str, int] | None:
        """Read all rows and return the classes, None without labels."""
        names = [column.name for column in self._columns] + ([self.label] if self.label else [])
        for block in tables.blocks(self._path, self._format, self._options.layout, names, self._errors):
            if not self.rows:
                self._detect_numbers(block.frame)
            self.rows += block.frame.height
            self._sample.add(block.frame)
            for column in self._columns:
                column.add(block.frame[column.name], block.rows)
            if self.label is not None:
                values = without_marks(block.frame[self.label], self._options)
                count_labels(self._labels, values, block.rows, self.label)
        for column in self._columns:
            column.report(self._errors)
        classes = self._labels.classes(self._errors) if self.label is not None else None
        self._errors.check()
        self._check_content()
        return classes

    def details(self) -> dict[str, Any]:
        """Return the details of the profile."""
        options, kinds = self._options, {column.name: column.kind() for column in self._columns}
        exempt = {*options.learn, *options.categories, *options.texts}
        metadata = parquet.metadata(self._path, "pandas") if self._format == "parquet" else {}
        roles = column_roles.find(self._sample, {name: kind for name, kind in kinds.items() if name not in exempt}, metadata)
        if len(roles) == len(self._columns):  # without any column there is nothing to learn
            roles = {}
        column_roles.warn(self._sample, roles, self._errors)
        for column in self._columns:
            warn_of_numbers(column, self._errors)
        if self.label is None and not options.unlabelled:
            column_roles.warn_of_label(list(self._schema), self._errors)
        roles |= options.roles
        profiles = [self._profile(column, roles.get(column.name)) for column in self._columns]
        profiles += [{"name": name, "kind": "empty", "missing": 0, "role": "ignored"} for name in self._not_read()]
        layout = tables.describe(self._path, self._format, options.layout)
        found = {"columns": profiles, "label": self.label} | ({"layout": layout} if layout else {})
        return found | ({"warnings": self._errors.warnings} if self._errors.warnings else {})

    def _not_read(self) -> list[str]:
        hidden = label_column(self._options, list(self._schema), hidden=True) if self._options.unlabelled is True else None
        return [*map(canonical_text, self._options.ignore), *([hidden] if hidden else [])]

    def _feature_columns(self) -> list[ColumnProfile]:
        skipped = {*self._not_read(), self.label}
        errors = ErrorCollector()
        schema = {name: dtype for name, dtype in self._schema.items() if name not in skipped}
        for name, dtype in self._schema.items():
            is_time = dtype.is_temporal() and dtype != pl.Duration and name != self.label
            if (name in schema or name == self.label) and not is_supported(dtype) and not is_time:
                errors.add(pointer("columns", name), f"column {name!r} is of type {dtype}: neither numbers nor text")
        errors.check()
        if not schema:
            detail = "there is no column except the label"
            raise InvalidDataset(detail, [FieldError("/columns", detail)])
        return [self._column(name, dtype) for name, dtype in schema.items()]

    def _column(self, name: str, dtype: pl.DataType) -> ColumnProfile:
        options = self._options
        is_text = name in options.texts
        may_be_numbers = (self._format != tables.TYPED or dtype.is_numeric()) and name not in {
            *options.categories,
            *options.roles,
        }
        column = ColumnProfile(name, may_be_numbers and not is_text, options.rules, is_text, values=ValueRange(options.sentinels))
        if options.decimal is not None:
            column.decimal = options.decimal
        return column

    def _detect_numbers(self, frame: pl.DataFrame) -> None:
        """Detect the decimal marks in the first block: all columns of a file have the same mark where both fit."""
        delimiter = self._options.delimiter or tables.describe(self._path, self._format, self._options.layout).get("delimiter")
        for column in self._columns:
            column.detect(frame[column.name], "," if delimiter == ";" else None)
        if any(column.decimal == "," and not column.is_ambiguous for column in self._columns):
            for column in self._columns:
                if column.decimal != "," and self._options.decimal is None:
                    column.decimal = None
                    column.detect(frame[column.name], ",")
                column.is_ambiguous = False

    def _check_content(self) -> None:
        if not self.rows:
            raise InvalidDataset("There are no rows.", [FieldError("/file", "no rows below the header")])
        if all(column.kind() == "empty" for column in self._columns):
            raise InvalidDataset("All cells are empty.", [FieldError("/columns", "every column is empty")])

    def _profile(self, column: ColumnProfile, role: str | None) -> dict[str, Any]:
        """Return the description of a column; `role` is the reason why it is not learned."""
        sentinels = column.values.sentinels()
        missing = column.missing + sum(sentinels.values())
        profile: dict[str, Any] = {"name": column.name, "kind": column.kind(), "missing": missing}
        if role is not None:
            profile["role"] = role
        if profile["kind"] == "number":
            profile |= {"range": bounds} if (bounds := column.values.bounds()) and role is None else {}
            profile |= {"decimal": ","} if column.decimal == "," else {}
            profile |= {"unit": column.rules.unit} if column.rules.unit else {}
            profile |= {"sentinels": sorted(sentinels)} if sentinels else {}
        elif profile["kind"] == "category" and role is None:
            levels = self._sample.levels(column.name, MAX_LISTED_LEVELS)
            profile |= {"levels": levels} if levels else {}
        return profile


def label_column(options: TableOptions, names: Sequence[str], *, hidden: bool = False) -> str | None:
    """Return the column with the labels, None without one or, unless `hidden`, if its labels are not read."""
    if options.unlabelled is True and not hidden:
        return None
    if options.label is not None:
        return require_column(options.label, names, "label")
    label = default_label([name for name in names if name not in {*options.categories, *options.texts, *options.roles}])
    if label in options.ignore and not hidden:
        detail = f"{label!r} is the label; set `options.unlabelled` to true if it is not to be read"
        raise InvalidDataset("The label is ignored.", [FieldError("/options/ignore", detail)])
    return label


def without_marks(labels: pl.Series, options: TableOptions) -> pl.Series:
    """Return the labels with null for those that mean that a row has none."""
    named = options.unlabelled if isinstance(options.unlabelled, tuple) else ()
    marks = [str(value) for value in (*(options.missing or ()), *named)]
    return labels.set(labels.cast(pl.String).str.strip_chars().is_in(marks), None) if marks else labels


def warn_of_numbers(column: ColumnProfile, errors: ErrorCollector) -> None:
    """Add a warning for numbers that are read as missing, and for those with two possible decimal marks."""
    if column.kind() != "number":
        return
    shown, where = printable(column.name, 50), pointer("columns", column.name)
    for value, count in column.values.sentinels().items():
        message = (
            f"column {shown!r}: {value:g} occurs {count} times, far from all other values, and is read as a missing value;"
            " to change this, list the values that mean missing in `options.missing`, or none"
        )
        if column.values.are_detected:
            errors.warn("sentinel_values", message, where, [f"{value:g}"])
    if column.is_ambiguous:
        marks = ("decimal marks", "thousands separators")
        mark, other = marks if column.decimal == "," else reversed(marks)
        message = f"column {shown!r}: marks such as in {column.seen_numbers[0][1]!r} are read as {mark}, and may be {other};"
        errors.warn("ambiguous_numbers", f"{message} set `options.decimal`", where, [cell for _, cell in column.seen_numbers[:3]])


def _require_columns(schema: Mapping[str, pl.DataType], options: TableOptions) -> None:
    for option in ("categories", "texts", "ignore", "learn"):
        for name in getattr(options, option):
            require_column(name, list(schema), option)
    for name, role in options.roles.items():
        require_column(name, list(schema), role)
