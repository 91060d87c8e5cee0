"""CSV in blocks: Polars and the csv module read the same rows."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidDataset
from app.formats import delimited, dialects
from app.formats.validation import ErrorCollector
from tests.support import factories

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
UNQUOTED = st.text(st.sampled_from("abc 1.5-é"), max_size=6)


def read(path: Path, delimiter: dialects.Delimiter = ",") -> tuple[list[int], list[tuple[str | None, ...]], ErrorCollector]:
    rows, cells, errors = list[int](), list[tuple[str | None, ...]](), ErrorCollector()
    for block in delimited.blocks(path, dialects.Layout(delimiter), errors):
        rows += block.rows
        cells += block.frame.rows()
    return rows, cells, errors


def small_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", size)
    monkeypatch.setattr(delimited, "BLOCK_BYTES_A_COLUMN", 1)


def test_blocks_cover_a_file_larger_than_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 100)
    path = factories.write(tmp_path, "a.csv", factories.csv_bytes(["x", "y"], [[n, n * n] for n in range(500)]))
    rows, cells, errors = read(path)
    assert rows == list(range(1, 501))
    assert cells == [(str(n), str(n * n)) for n in range(500)]
    assert errors.count == 0


@pytest.mark.parametrize("quoted", [False, True])
def test_row_numbers_are_exact_around_ragged_and_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quoted: bool
) -> None:
    small_blocks(monkeypatch, 64)
    lines = [f"{n},{n}" for n in range(1, 200)]
    lines[49], lines[99] = "50", "100,100,100"
    lines.insert(150, "")
    if quoted:
        lines[119] = '"120\nand more",120'
    path = factories.write(tmp_path, "a.csv", "\n".join(["x,y", *lines]).encode())
    rows, cells, errors = read(path)
    assert [error.pointer for error in errors.errors] == ["/rows/50", "/rows/100"]
    assert rows == [number for number in range(1, 200) if number not in (50, 100)]
    assert all(cell[1] == str(row) for row, cell in zip(rows, cells, strict=True))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_output_of_the_csv_module_is_read_back(tmp_path: Path, table: list[tuple[str, str, str]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerows([("x", "y", "z"), *table])
    path = factories.write(tmp_path, "a.csv", buffer.getvalue().encode())
    _, cells, errors = read(path)
    assert cells == [tuple(cell or None for cell in row) for row in table]
    assert errors.count == 0


@given(st.lists(st.lists(UNQUOTED, min_size=1, max_size=4), max_size=30), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_unquoted_lines_are_split_like_the_csv_module(tmp_path: Path, table: list[list[str]], newline: str, ends: bool) -> None:
    content = newline.join(",".join(row) for row in [["x", "y"], *table]) + (newline if ends else "")
    path = factories.write(tmp_path, "a.csv", content.encode())
    expected = [row for row in csv.reader(io.StringIO(content, newline="")) if row][1:]
    rows, cells, errors = read(path)
    assert cells == [tuple(cell or None for cell in row) for row in expected if len(row) == 2]
    assert errors.count == sum(len(row) != 2 for row in expected)
    assert rows == [number for number, row in enumerate(expected, start=1) if len(row) == 2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_delimiter_is_read_with_a_byte_order_mark(tmp_path: Path, delimiter: dialects.Delimiter) -> None:
    content = f"x{delimiter}y\r\n1{delimiter}2\r\n".encode("utf-8-sig")
    path = factories.write(tmp_path, "a.csv", content)
    assert delimited.columns(path, dialects.Layout(delimiter)) == ["x", "y"]
    assert read(path, delimiter)[1] == [("1", "2")]


def test_overlong_line_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 100)
    monkeypatch.setattr(delimited, "MAX_LINE_BYTES", 1000)
    path = factories.write(tmp_path, "a.csv", b"x,y\n1,2\n" + b"9" * 5000)
    with pytest.raises(InvalidDataset, match="Row 2: a line is longer"):
        read(path)


def test_overlong_row_of_quoted_lines_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 100)
    monkeypatch.setattr(delimited, "MAX_LINE_BYTES", 1000)
    cell = '"' + "9" * 90 + '\n"'
    long = ",".join([cell] * 9)
    assert len(read(factories.write(tmp_path, "a.csv", f"{','.join('abcdefghi')}\n{long}\n{long}\n".encode()), ",")[1]) == 2
    path = factories.write(tmp_path, "b.csv", f"{','.join('abcdefghijkl')}\n{','.join([cell] * 12)}\n".encode())
    with pytest.raises(InvalidDataset, match="Row 1: a line is longer"):
        read(path)


def test_invalid_utf8_is_reported_with_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 64)
    lines = [b"x,y", *[b"%d,%d" % (n, n) for n in range(1, 100)]]
    monkeypatch.setattr(dialects, "SAMPLE_BYTES", 64)
    lines[77] = b"\xe9,77"
    path = factories.write(tmp_path, "a.csv", b"\n".join(lines))
    with pytest.raises(InvalidDataset, match="Row 77: byte 0xe9"):
        read(path)
