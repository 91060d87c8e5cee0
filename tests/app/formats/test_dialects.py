"""Dialects of CSV: the same table however it was saved."""

import csv
import io
from pathlib import Path

import pytest

from app.errors import InvalidDataset
from app.formats import delimited
from app.formats.validation import ErrorCollector
from tests.support import factories

TABLE = [["größe", "wort", "label"], *([str(n / 10), f"é{n}", "xy"[n % 2]] for n in range(20))]


def read(path: Path) -> list[list[str | None]]:
    """Return the header and all rows."""
    errors = ErrorCollector()
    rows = [list(row) for block in delimited.blocks(path, delimited.DETECTED, errors) for row in block.frame.rows()]
    assert errors.count == 0
    return [list(delimited.columns(path)), *rows]


def written(delimiter: str = ",", newline: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator=newline, quoting=quoting).writerows(TABLE)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_table_is_the_same_in_every_dialect(tmp_path: Path, delimiter: str, newline: str, encoding: str) -> None:
    text = written(delimiter, newline)
    assert read(factories.write(tmp_path, "a.csv", text.encode(encoding))) == TABLE
    quoted = written(delimiter, newline, csv.QUOTE_ALL)
    assert read(factories.write(tmp_path, "b.csv", quoted.encode(encoding))) == TABLE


def test_the_separator_line_of_excel_is_no_header(tmp_path: Path) -> None:
    for newline in ("\n", "\r\n"):
        content = f"sep=;{newline}".encode("utf-8-sig") + written(";", newline).encode()
        assert read(factories.write(tmp_path, "a.csv", content)) == TABLE


def test_two_byte_order_marks_are_ignored(tmp_path: Path) -> None:
    content = "\ufeff\ufeff".encode() + written().encode()
    assert read(factories.write(tmp_path, "a.csv", content)) == TABLE


def test_columns_aligned_by_spaces_are_read(tmp_path: Path) -> None:
    content = b"  a    b label\n 1.5   2  x\n10.5  30  y\n"
    assert read(factories.write(tmp_path, "a.csv", content)) == [["a", "b", "label"], ["1.5", "2", "x"], ["10.5", "30", "y"]]


def test_quotes_count_after_a_space(tmp_path: Path) -> None:
    content = b'text, label\n"yes, so", "p"\n"no", "n"\n'
    assert read(factories.write(tmp_path, "a.csv", content)) == [["text", "label"], ["yes, so", "p"], ["no", "n"]]


def test_spaces_without_quotes_are_kept(tmp_path: Path) -> None:
    content = b"text,label\n yes,p\n no,n\n"
    assert read(factories.write(tmp_path, "a.csv", content))[1:] == [[" yes", "p"], [" no", "n"]]


def test_decimal_commas_do_not_hide_the_delimiter(tmp_path: Path) -> None:
    content = b"a;b;label\n0,5;1,5;x\n0,7;1,9;y\n"
    assert read(factories.write(tmp_path, "a.csv", content))[1] == ["0,5", "1,5", "x"]


def test_a_comma_in_every_text_is_no_delimiter(tmp_path: Path) -> None:
    content = b'text,label\n"a; b",p\n"c; d",n\n'
    assert read(factories.write(tmp_path, "a.csv", content))[0] == ["text", "label"]


@pytest.mark.parametrize("content", [b"0.1,0.2,x\n0.2,0.4,y\n0.3,0.6,x\n", b"5.1,3.5,0\n4.9,3.0,1\n", b"1;x\n2;y\n3;x\n"])
def test_a_missing_header_is_reported(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidDataset, match="looks like data"):
        delimited.columns(factories.write(tmp_path, "a.csv", content))


@pytest.mark.parametrize("header", ["0,1,2", "400.5,401.0,label", "1,0,label", "a,b,1"])
def test_numbers_may_be_names(tmp_path: Path, header: str) -> None:
    path = factories.write(tmp_path, "a.csv", f"{header}\n5,3,x\n4,2,y\n".encode())
    assert delimited.columns(path) == header.split(",")


@pytest.mark.parametrize(
    ("content", "message"), [(b"PK\x03\x04abc", "Excel"), (b"\xd0\xcf\x11\xe0abc", "Excel"), (b"PAR1abc", "Parquet")]
)
def test_other_files_named_csv_are_reported(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InvalidDataset, match=message):
        delimited.columns(factories.write(tmp_path, "a.csv", content))


CASES = {
    "csv-cr-only": ["a", "b", "label"],
    "csv-double-bom": ["label", "a"],
    "csv-sep-line": ["a", "b", "label"],
    "csv-space-before-quote": ["text", "label"],
    "csv-utf16": ["a", "b", "label"],
    "num-decimal-comma": ["f0", "f1", "f2", "f3", "f4", "f5", "label"],
}


@pytest.mark.parametrize(("name", "header"), CASES.items())
def test_cases_of_dialects_are_read(shared_cases: Path, name: str, header: list[str]) -> None:
    table = read(shared_cases / name / "source.csv")
    assert table[0] == header
    assert len(table) > 4
    assert all(cell and not cell.startswith('"') for row in table for cell in row)


@pytest.mark.parametrize(("name", "message"), [("csv-no-header", "looks like data"), ("csv-xlsx-inside", "an Excel workbook")])
def test_cases_of_other_files_are_reported(shared_cases: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidDataset, match=message):
        delimited.columns(shared_cases / name / "source.csv")
