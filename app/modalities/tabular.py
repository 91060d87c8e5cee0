"""Tables of numbers and categories. Raw inputs are Polars data frames with one row per example."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from app.errors import FieldError, InvalidDataset
from app.formats import parquet, tables
from app.formats.cells import Decimal, as_levels, as_numbers, is_supported
from app.formats.class_labels import ClassCounter, count_labels
from app.formats.data_warnings import DataWarning
from app.formats.dialects import Delimiter
from app.formats.names import canonical_name, canonical_names
from app.formats.row_blocks import default_label, require_column
from app.formats.validation import LIMIT, ErrorCollector, pointer
from app.modalities.base import (
    CHUNK_ROWS,
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoded,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
    fast_json_encoder,
)
from app.networks.base import NetworkParams
from app.preprocessing import column_roles, table_levels, table_rows
from app.preprocessing.fast_table_rows import FastRowEncoder
from app.preprocessing.table_columns import ColumnProfile, RunningStats

MAX_LEVELS = 1000

Name = Annotated[str, Field(min_length=1, max_length=200)]


class TabularOptions(DatasetOptions):
    """Options for reading a table."""

    label: Name | None = Field(None, description="Column with the labels. Default: `label` if it exists.")
    categories: tuple[Name, ...] = Field((), max_length=2000, description="Columns whose numbers are codes of categories.")
    ignore: tuple[Name, ...] = Field((), max_length=2000, description="Columns that are not read.")
    learn: tuple[Name, ...] = Field(
        (), max_length=2000, description="Columns to learn although they seem to be row counters, identifiers or timestamps."
    )
    delimiter: Delimiter | None = Field(None, description="Separator of the cells of a CSV file. Default: detected.")


class _FittedColumn(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class NumberColumn(_FittedColumn):
    """Numbers, which the network standardises by mean and deviation over the source."""

    kind: Literal["number"] = "number"
    mean: float
    std: float


class CategoryColumn(_FittedColumn):
    """Categories, encoded as 1 + the index in `levels`; 0 means missing or unknown."""

    kind: Literal["category"] = "category"
    levels: tuple[str, ...]


class UnusedColumn(_FittedColumn):
    """A column without values in the source: accepted and ignored."""

    kind: Literal["unused"] = "unused"


class TabularPreprocessing(Preprocessing):
    """The columns in the order of the source."""

    modality: Literal["tabular"] = "tabular"
    columns: tuple[Annotated[NumberColumn | CategoryColumn | UnusedColumn, Field(discriminator="kind")], ...]

    @property
    def numbers(self) -> tuple[NumberColumn, ...]:
        return tuple(column for column in self.columns if isinstance(column, NumberColumn))

    @property
    def categories(self) -> tuple[CategoryColumn, ...]:
        return tuple(column for column in self.columns if isinstance(column, CategoryColumn))


class Tabular(Modality):
    """CSV and Parquet with one row per example."""

    name = "tabular"
    suffixes: ClassVar[Mapping[str, str]] = {".csv": "csv", ".parquet": "parquet"}
    options = TabularOptions
    preprocessing = TabularPreprocessing
    rows_are_objects = True

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim all files except those whose only input column is text without numbers."""
        options = _options(options)
        schema = tables.schema(path, format, options.delimiter)
        inputs = [name for name in schema if name != (options.label or default_label(list(schema)))]
        if len(inputs) != 1 or inputs[0] in options.categories or schema[inputs[0]] != pl.String:
            return True
        first = next(tables.blocks(path, format, options.delimiter, inputs, ErrorCollector()), None)
        return first is None or as_numbers(first.frame.to_series()).drop_nulls().len() > 0

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        options = _options(options)
        schema = tables.schema(path, format, options.delimiter)
        label = _label(options, list(schema))
        columns = _columns(schema, format, label, options)
        names = [column.name for column in columns] + ([label] if label else [])
        labels, errors, count, sample = ClassCounter(pointer("columns", label or "")), ErrorCollector(), 0, column_roles.Sample()
        for block in tables.blocks(path, format, options.delimiter, names, errors):
            count += block.frame.height
            sample.add(block.frame)
            for column in columns:
                column.add(block.frame[column.name], block.rows)
            if label is not None:
                count_labels(labels, block.frame[label], block.rows, label)
        for column in columns:
            column.report(errors)
        classes = labels.classes(errors) if label is not None else None
        errors.check()
        _check_content(columns, count)
        kinds = {column.name: column.kind() for column in columns if column.name not in {*options.learn, *options.categories}}
        roles = column_roles.find(sample, kinds, parquet.pandas_metadata(path) if format == "parquet" else {})
        if len(roles) == len(columns):  # without any column there is nothing to learn
            roles = {}
        profiles = _profiles(columns, roles, options)
        column_roles.warn(sample, roles, errors)
        details = {"columns": profiles, "label": label} | ({"warnings": errors.warnings} if errors.warnings else {})
        return Profile(format, count, classes, details)

    def preview(self, file: DatasetFile, limit: int) -> list[dict[str, Any]]:
        chunk = next(self.chunks(file, limit), None)
        if chunk is None:
            return []
        rows = chunk.inputs.to_dicts()
        label = file.details["label"]
        return [row | {label: name} for row, name in zip(rows, chunk.labels, strict=True)] if chunk.labels else rows

    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        options = _options(file.options)
        details = file.details or self.check(file.path, file.format, options).details
        kinds = {column["name"]: column["kind"] for column in details["columns"]}
        label = details["label"]
        decimals: dict[str, Decimal] = {column["name"]: column.get("decimal", ".") for column in details["columns"]}
        converters: dict[str, Callable[[pl.Series], pl.Series]] = {
            name: partial(_floats, decimal=decimals[name]) if kind == "number" else as_levels for name, kind in kinds.items()
        }
        converters |= dict.fromkeys(options.ignore, _nulls)
        unlearned = frozenset(column["name"] for column in details["columns"] if "role" in column)
        names = [*kinds, *([label] if label else [])]
        for block in tables.blocks(file.path, file.format, options.delimiter, names, ErrorCollector()):
            for rows in block.frame.iter_slices(size):
                frame = pl.DataFrame([convert(rows[name]) for name, convert in converters.items()])
                yield Chunk(frame, canonical_names(rows[label]).to_list() if label else None, rows.height, unlearned=unlearned)

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        return _differences(_kinds(source), _kinds(other), "the source")

    def incompatibilities_with_model(self, preprocessing: Preprocessing, other: Profile) -> list[str]:
        columns = _preprocessing(preprocessing).columns
        fitted = {column.name: "empty" if column.kind == "unused" else column.kind for column in columns}
        return _differences(fitted, _kinds(other), "the model")

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> TabularPreprocessing:
        """Fit means and deviations over the source, and levels over both domains, which may have different ones."""
        numbers: dict[str, RunningStats] = {}
        levels: dict[str, Counter[str]] = {}
        order: list[str] = []
        for chunk in source:
            order = chunk.inputs.columns
            for name in [name for name in order if name not in chunk.unlearned]:
                if chunk.inputs[name].dtype == pl.String:
                    levels.setdefault(name, Counter()).update(chunk.inputs[name].drop_nulls().to_list())
                else:
                    numbers.setdefault(name, RunningStats()).add(chunk.inputs[name].drop_nulls().cast(pl.Float64).to_numpy())
        used = {name for name, counts in levels.items() if counts}
        for chunk in target:
            for name in used & set(chunk.inputs.columns):
                levels[name].update(as_levels(chunk.inputs[name]).drop_nulls().to_list())
        return TabularPreprocessing(columns=tuple(_fitted(name, numbers.get(name), levels.get(name)) for name in order))

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return an encoder to `numbers` float32 (n, a), NaN if missing, and `categories` int64 (n, b), 0 if unknown."""
        fitted = _preprocessing(preprocessing)
        codes = {column.name: _level_codes(column.levels) for column in fitted.categories}

        def encode(frame: pl.DataFrame) -> Encoded:
            encoded: Encoded = {}
            if fitted.numbers:
                numbers = pl.DataFrame([_floats(frame[column.name]).cast(pl.Float32) for column in fitted.numbers])
                encoded["numbers"] = numbers.to_numpy(order="c", writable=True)
            if fitted.categories:
                columns = [_codes(frame[column.name], codes[column.name]) for column in fitted.categories]
                encoded["categories"] = np.stack(columns, axis=1)
            return encoded

        return encode

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return an encoder of rows of numbers, and of levels spelled as in the manifest."""
        fitted = _preprocessing(preprocessing)
        columns = {column.name: column.levels if isinstance(column, CategoryColumn) else None for column in fitted.columns}
        if any(isinstance(column, UnusedColumn) for column in fitted.columns):
            return super().fast_encoder(preprocessing, encode)
        return fast_json_encoder(FastRowEncoder(columns))

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        fitted = _preprocessing(preprocessing)
        specs = {"numbers": TensorSpec("float32", (len(fitted.numbers),))} if fitted.numbers else {}
        limits = tuple(len(column.levels) + 1 for column in fitted.categories)
        return specs | ({"categories": TensorSpec("int64", (len(limits),), limits=limits)} if limits else {})

    def unknown_values(self, raw: Any, preprocessing: Preprocessing) -> list[DataWarning]:
        """Return a warning for each category column with unknown levels."""
        categories = _preprocessing(preprocessing).categories
        warnings = [table_levels.unknown_levels(raw[column.name], column.levels) for column in categories]
        return [warning for warning in warnings if warning is not None]

    def from_cells(self, rows: Sequence[Mapping[str, str | None]], preprocessing: Preprocessing) -> Sequence[Mapping[str, Any]]:
        """Convert the cells of number columns; a cell that is not a number stays a text, which `parse` rejects."""
        names = [column.name for column in _preprocessing(preprocessing).numbers]
        return table_rows.with_numbers(rows, names)

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> pl.DataFrame:
        """Parse objects by column name, or arrays in column order; null for a missing value."""
        fitted = _preprocessing(preprocessing)
        rows = table_rows.parse(values, {column.name: column.kind for column in fitted.columns})
        return pl.DataFrame(
            [pl.Series(column.name, [row[column.name] for row in rows], _TYPES[column.kind]) for column in fitted.columns]
        )


_PLURALS = {"number": "numbers", "category": "categories"}
_TYPES: dict[str, Any] = {"number": pl.Float64, "category": pl.String, "unused": pl.String}


def _options(options: DatasetOptions) -> TabularOptions:
    assert isinstance(options, TabularOptions)
    return options


def _preprocessing(preprocessing: Preprocessing) -> TabularPreprocessing:
    assert isinstance(preprocessing, TabularPreprocessing)
    return preprocessing


def _label(options: TabularOptions, names: Sequence[str]) -> str | None:
    if options.label is not None:
        return require_column(options.label, names, "label")
    return default_label(names)


def _kinds(profile: Profile) -> dict[str, str]:
    """Return the kinds of the columns; what is not learned fits every kind."""
    return {column["name"]: "empty" if "role" in column else column["kind"] for column in profile.details["columns"]}


def _differences(expected: Mapping[str, str], given: Mapping[str, str], owner: str) -> list[str]:
    missing = [
        f"column {name!r} of {owner} is missing" for name, kind in expected.items() if name not in given and kind != "empty"
    ]
    unknown = [f"column {name!r} is not in {owner}" for name, kind in given.items() if name not in expected and kind != "empty"]
    kinds = [
        f"column {name!r} contains {_PLURALS[given[name]]}, in {owner} {_PLURALS[kind]}"
        for name, kind in expected.items()
        if name in given and given[name] != kind and "empty" not in (kind, given[name])
    ]
    return [*missing, *unknown, *kinds][:LIMIT]


def _columns(schema: Mapping[str, pl.DataType], format: str, label: str | None, options: TabularOptions) -> list[ColumnProfile]:
    """Return the feature columns. Raise InvalidDataset for types that are neither numbers nor categories."""
    for option in ("categories", "ignore", "learn"):
        for name in getattr(options, option):
            require_column(name, list(schema), option)
    if label in options.ignore:
        raise InvalidDataset("The label is ignored.", [FieldError("/options/ignore", f"{label!r} is the label")])
    errors = ErrorCollector()
    schema = {name: dtype for name, dtype in schema.items() if name not in options.ignore}
    for name, dtype in schema.items():
        if not is_supported(dtype) and not (dtype.is_temporal() and dtype != pl.Duration and name != label):
            errors.add(pointer("columns", name), f"column {name!r} is of type {dtype}: neither numbers nor text")
    errors.check()
    if set(schema) <= {label}:
        detail = "there is no column except the label"
        raise InvalidDataset(detail, [FieldError("/columns", detail)])
    return [
        ColumnProfile(name, (format == "csv" or dtype.is_numeric()) and name not in options.categories)
        for name, dtype in schema.items()
        if name != label
    ]


def _profiles(columns: Sequence[ColumnProfile], roles: Mapping[str, str], options: TabularOptions) -> list[dict[str, Any]]:
    """Return the description of each column; `role` is the reason why one is not learned."""
    profiles: list[dict[str, Any]] = []
    for column in columns:
        role = {"role": roles[column.name]} if column.name in roles else {}
        profiles.append(_profile(column) | role)
    return profiles + [{"name": name, "kind": "empty", "missing": 0, "role": "ignored"} for name in options.ignore]


def _check_content(columns: Sequence[ColumnProfile], count: int) -> None:
    if not count:
        raise InvalidDataset("There are no rows.", [FieldError("/file", "no rows below the header")])
    if all(column.kind() == "empty" for column in columns):
        raise InvalidDataset("All cells are empty.", [FieldError("/columns", "every column is empty")])


def _profile(column: ColumnProfile) -> dict[str, Any]:
    profile = {"name": column.name, "kind": column.kind(), "missing": column.missing}
    return profile | {"decimal": ","} if profile["kind"] == "number" and column.decimal == "," else profile


def _floats(values: pl.Series, decimal: Decimal = ".") -> pl.Series:
    """Return Float32 as it is and other types as Float64; null for anything that is not a number."""
    return values.fill_nan(None) if values.dtype == pl.Float32 else as_numbers(values, decimal)


def _level_codes(levels: Sequence[str]) -> dict[str, int]:
    """Return the code of each level. Codes of one width such as `01` are also found as numbers, which have no zeros."""
    codes = {name: code for code, level in enumerate(levels, 1) if (name := canonical_name(level))}
    if len(set(map(len, codes))) == 1 and all(name.isascii() and name.isdecimal() for name in codes):
        codes |= {str(int(name)): code for name, code in codes.items()}
    return codes


def _nulls(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [None] * len(values), pl.String)


def _codes(values: pl.Series, codes: Mapping[str, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    names = canonical_names(values)
    return names.replace_strict(codes, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()


def _fitted(name: str, stats: RunningStats | None, levels: Counter[str] | None) -> NumberColumn | CategoryColumn | UnusedColumn:
    if stats is not None and stats.count:
        return NumberColumn(name=name, mean=stats.mean, std=stats.deviation())
    if levels:
        frequent = sorted(levels, key=lambda level: (-levels[level], level))[:MAX_LEVELS]
        return CategoryColumn(name=name, levels=tuple(sorted(frequent)))
    return UnusedColumn(name=name)
