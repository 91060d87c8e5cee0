"""The same table gives the same encoded arrays, whichever format and dialect it is written in."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.modalities import MODALITIES
from app.modalities.base import Encoded
from app.networks.mlp import MlpParams
from tests.support.dataset_reading import dataset, joined, labels
from tests.support.workbooks import xlsx_bytes

TABULAR = MODALITIES["tabular"]
HEADER = ["x", "größe", "colour", "code", "label"]
Row = Sequence[Any]


def delimited(rows: Sequence[Row], delimiter: str = ",", encoding: str = "utf-8", decimal: str = ".", **dialect: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, **dialect)
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow(["" if cell is None else _decimal(cell, decimal) for cell in row])
    return text.getvalue().encode(encoding)


def _decimal(cell: object, decimal: str) -> str:
    return repr(cell).replace(".", decimal) if isinstance(cell, float) else str(cell)


def parquet(rows: Sequence[Row]) -> bytes:
    buffer = io.BytesIO()
    types = [pl.Float64, pl.Float64, pl.String, pl.String, pl.String]
    pl.DataFrame(list(map(list, rows)), schema=dict(zip(HEADER, types, strict=True)), orient="row").write_parquet(buffer)
    return buffer.getvalue()


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


FORMATS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes]]] = {
    "semicolons and decimal commas": ("a.csv", lambda rows: delimited(rows, ";", decimal=",")),
    "tabs": ("a.tsv", lambda rows: delimited(rows, "\t")),
    "bars in a text file": ("a.txt", lambda rows: delimited(rows, "|")),
    "windows-1252": ("a.csv", lambda rows: delimited(rows, encoding="cp1252")),
    "utf-16": ("a.csv", lambda rows: delimited(rows, "\t", "utf-16")),
    "byte order mark and quotes": ("a.csv", lambda rows: delimited(rows, encoding="utf-8-sig", quoting=csv.QUOTE_ALL)),
    "carriage returns": ("a.csv", lambda rows: delimited(rows, lineterminator="\r")),
    "gzip": ("a.csv.gz", lambda rows: gzip.compress(delimited(rows))),
    "parquet": ("a.parquet", parquet),
    "json lines": ("a.jsonl", lambda rows: "".join(json.dumps(one) + "\n" for one in records(rows)).encode()),
    "json array": ("a.json", lambda rows: json.dumps(records(rows), indent=1).encode()),
    "workbook": ("a.xlsx", lambda rows: xlsx_bytes(HEADER, rows)),
}

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4) + 0.0) | st.none()
levels = st.sampled_from(["red", "grün", "light blue"]) | st.none()
codes = st.sampled_from(["01", "02", "10"])
tables = st.lists(st.tuples(numbers, numbers, levels, codes, st.sampled_from(["a", "b"])), min_size=3, max_size=30)


def encoded(folder: Path, filename: str, content: bytes) -> tuple[Encoded, list[str | None], list[str]]:
    file = dataset(folder, filename, content, "tabular")
    fitted = TABULAR.fit(TABULAR.chunks(file), [], MlpParams(), None, folder)
    encode = TABULAR.encoder(fitted, folder)
    chunks = list(TABULAR.chunks(file))
    kinds = [column["kind"] for column in file.details["columns"]]
    return joined([encode(chunk.inputs) for chunk in chunks]), labels(chunks), kinds


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables)
def test_table_is_encoded_alike_in_every_format(tmp_path: Path, name: str, rows: list[Row]) -> None:
    rows = [(0.5, 1.25, "red", "01", "a"), *rows, (-7.25, 2.5, "grün", "02", "b")]
    filename, write = FORMATS[name]
    expected, expected_labels, kinds = encoded(tmp_path, "plain.csv", delimited(rows))
    found, found_labels, found_kinds = encoded(tmp_path, filename, write(rows))
    assert kinds == found_kinds == ["number", "number", "category", "category"]
    assert found_labels == expected_labels
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
