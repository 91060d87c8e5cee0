"""Tables of numbers, categories and texts. Raw inputs are Polars data frames with one row per example."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from app.formats import image_parquet, tables
from app.formats.cells import CellRules, as_numbers
from app.formats.data_warnings import DataWarning
from app.formats.validation import ErrorCollector
from app.modalities.base import (
    CHUNK_ROWS,
    MAX_FAST_JSON_BYTES,
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoded,
    EncodedInputs,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
    fast_json_encoder,
    labelled_examples,
)
from app.networks.base import NetworkParams
from app.preprocessing import fast_numbers, table_differences, table_levels, table_reader, table_rows
from app.preprocessing.fast_table_rows import FastRowEncoder
from app.preprocessing.fitted_columns import AnyColumn, CategoryColumn, NumberColumn, TextColumn, encode_levels, level_codes
from app.preprocessing.table_check import TableCheck, label_column
from app.preprocessing.table_fit import Part, TableFit, joined_texts
from app.preprocessing.table_options import TableOptions
from app.preprocessing.tfidf import TfidfVectorizer

VOCABULARY = "vocabulary.json"
MAX_TERMS = 1024


class TabularOptions(TableOptions, DatasetOptions):
    """Options for reading a table."""


class TabularPreprocessing(Preprocessing):
    """The columns in the order of the source, and the number of terms of the text columns."""

    modality: Literal["tabular"] = "tabular"
    columns: tuple[AnyColumn, ...]
    vocabulary_size: int | None = Field(None, description="Ids of terms are less than this number.")

    @property
    def numbers(self) -> tuple[NumberColumn, ...]:
        return tuple(column for column in self.columns if isinstance(column, NumberColumn))

    @property
    def categories(self) -> tuple[CategoryColumn, ...]:
        return tuple(column for column in self.columns if isinstance(column, CategoryColumn))

    @property
    def texts(self) -> tuple[TextColumn, ...]:
        return tuple(column for column in self.columns if isinstance(column, TextColumn)) if self.vocabulary_size else ()


class Tabular(Modality):
    """CSV, JSON lines, workbooks and Parquet with one row per example."""

    name = "tabular"
    suffixes: ClassVar[Mapping[str, str]] = tables.SUFFIXES
    options = TabularOptions
    preprocessing = TabularPreprocessing
    rows_are_objects = True

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim all files except those whose only input column is text without numbers."""
        options = _options(options)
        schema = tables.schema(path, format, options.layout)
        if image_parquet.image_column(schema) is not None:
            return False
        inputs = [name for name in schema if name != label_column(options, list(schema))]
        if len(inputs) != 1 or inputs[0] in options.categories or schema[inputs[0]] != pl.String:
            return format != "jsonl" or "text" not in inputs
        first = next(tables.blocks(path, format, options.layout, inputs, ErrorCollector()), None)
        return first is None or as_numbers(first.frame.to_series(), options.rules).drop_nulls().len() > 0

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        check = TableCheck(path, format, _options(options))
        classes = check.run()
        return Profile(format, check.rows, classes, check.details())

    def preview(self, file: DatasetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
        return labelled_examples(self.selected(file, rows), lambda table: table.to_dicts(), file.details["label"])

    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        options = _options(file.options)
        details = file.details or self.check(file.path, file.format, options).details
        unlearned = table_reader.unlearned(details)
        for rows in table_reader.rows(file.path, file.format, options, details, size):
            labels = rows.labels if file.labelled else None
            yield Chunk(rows.frame, labels, rows.frame.height, details, unlearned, rows.groups, rows.domains)

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        return table_differences.prevented(source.details, other.details)

    def comparison(self, source: Profile, other: Profile, role: str) -> list[DataWarning]:
        return table_differences.warnings(source.details, other.details, role)

    def joined_details(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        return table_differences.joined(first, second)

    def left_out(self, source: Profile, joined: Profile) -> frozenset[str]:
        names, shared = ({column["name"] for column in one.details["columns"]} for one in (source, joined))
        return frozenset(names - shared)

    def unshared_inputs(self, source: Profile, other: Profile) -> list[str]:
        return table_differences.unshared(source.details, other.details)[0]

    def incompatibilities_with_model(self, preprocessing: Preprocessing, other: Profile) -> list[str]:
        columns = _preprocessing(preprocessing).columns
        fitted = {column.name: "empty" if column.kind == "unused" else column.kind for column in columns}
        return table_differences.all_differences(fitted, table_differences.kinds(other.details), "the model")

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> TabularPreprocessing:
        """Fit means and deviations over the source, and levels and terms over both domains, which may have different ones."""
        fit = TableFit()
        fit.add_source(_part(chunk) for chunk in source)
        fit.add_target(_part(chunk) for chunk in target)
        terms = fit.write_terms(folder / VOCABULARY)
        if terms is None:
            return TabularPreprocessing(columns=fit.columns())
        return TabularPreprocessing(columns=fit.columns(), files=(VOCABULARY,), vocabulary_size=terms + 1)

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return an encoder to `numbers` float32 (n, a), NaN if missing, and `categories` int64 (n, b), 0 if unknown.

        Texts are encoded to `terms` and `weights`, each (n, longest of the batch).
        """
        fitted = _preprocessing(preprocessing)
        numbers = [column.name for column in fitted.numbers]
        categories = {column.name: level_codes(column.levels) for column in fitted.categories}
        texts = [column.name for column in fitted.texts]
        vocabulary = TfidfVectorizer(folder / VOCABULARY) if texts else None

        def encode(frame: pl.DataFrame) -> Encoded:
            encoded: Encoded = {}
            if numbers:
                encoded["numbers"] = _encode_numbers(frame, numbers)
            if categories:
                columns = [encode_levels(frame[name], codes) for name, codes in categories.items()]
                encoded["categories"] = np.stack(columns, axis=1)
            if vocabulary is not None:
                encoded["terms"], encoded["weights"] = vocabulary.encode(joined_texts(frame, texts), MAX_TERMS)
            return encoded

        return encode

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return an encoder of rows of numbers and levels."""
        fitted = _preprocessing(preprocessing)
        columns = {column.name: column.levels if isinstance(column, CategoryColumn) else None for column in fitted.columns}
        if any(column.kind in ("unused", "text") for column in fitted.columns):
            return super().fast_encoder(preprocessing, encode)
        encoder = FastRowEncoder(columns)

        def encode_rows(values: list[Any]) -> EncodedInputs | None:
            encoded = encoder(values)
            return encoded and EncodedInputs(*encoded)

        encode_any = fast_json_encoder(encode_rows)
        if fitted.categories:
            return encode_any

        def encode_numbers(text: bytes, max_inputs: int) -> EncodedInputs | None:
            numbers = fast_numbers.parse(text, len(columns), max_inputs) if len(text) <= MAX_FAST_JSON_BYTES else None
            return encode_any(text, max_inputs) if numbers is None else EncodedInputs({"numbers": numbers})

        return encode_numbers

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        fitted = _preprocessing(preprocessing)
        specs = {"numbers": TensorSpec("float32", (len(fitted.numbers),))} if fitted.numbers else {}
        limits = tuple(len(column.levels) + 1 for column in fitted.categories)
        specs |= {"categories": TensorSpec("int64", (len(limits),), limits=limits)} if limits else {}
        if fitted.vocabulary_size:
            specs["terms"] = TensorSpec("int64", (-1,), limits=(fitted.vocabulary_size,))
            specs["weights"] = TensorSpec("float32", (-1,), marks_padding=True)
        return specs

    def unknown_values(self, raw: Any, preprocessing: Preprocessing) -> list[DataWarning]:
        """Return a warning for each category column with unknown levels."""
        categories = _preprocessing(preprocessing).categories
        warnings = [table_levels.unknown_levels(raw[column.name], level_codes(column.levels)) for column in categories]
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


_TYPES: dict[str, Any] = {"number": pl.Float64, "category": pl.String, "text": pl.String, "unused": pl.String}
_PLAIN = CellRules()


def _options(options: DatasetOptions) -> TabularOptions:
    assert isinstance(options, TabularOptions)
    return options


def _preprocessing(preprocessing: Preprocessing) -> TabularPreprocessing:
    assert isinstance(preprocessing, TabularPreprocessing)
    return preprocessing


def _part(chunk: Chunk) -> Part:
    return Part(chunk.inputs, chunk.unlearned, chunk.details)


def _encode_numbers(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    numbers = pl.DataFrame([table_reader.floats(frame[name], _PLAIN).cast(pl.Float32) for name in names])
    return numbers.to_numpy(order="c", writable=True)
