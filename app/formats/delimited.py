"""CSV in blocks of text cells, with exact row numbers.

Polars splits blocks of unquoted lines with the expected number of cells. From the first quote on, the csv module parses
the rest. Both read regular lines alike; only the speed differs.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.dialects import Dialect, Layout, detect, open_as_utf8
from app.formats.gzip_files import as_damaged_gzip
from app.formats.headers import check_is_header
from app.formats.row_blocks import RowBlock, check_names
from app.formats.validation import ErrorCollector

BLOCK_BYTES = 1024 * 1024
BLOCK_BYTES_A_COLUMN = 4096
MAX_LINE_BYTES = 8 * 1024 * 1024
SLOW_ROWS = 4096
HEADER_ROWS = 50
csv.field_size_limit(MAX_LINE_BYTES)


DETECTED = Layout()


def columns(path: Path, layout: Layout = DETECTED) -> list[str]:
    """Return the names in the first line. Detect what the layout leaves open. Raise InvalidDataset."""
    with _opened(path, layout, ErrorCollector()) as reader:
        return reader.names


def dialect(path: Path, layout: Layout = DETECTED) -> Dialect:
    """Return how the file is read. Raise InvalidDataset."""
    with _opened(path, layout, ErrorCollector()) as reader:
        return reader.dialect


def blocks(path: Path, layout: Layout, errors: ErrorCollector) -> Iterator[RowBlock]:
    """Yield all rows as text cells, with null for empty cells. Skip ragged rows and add an error for each."""
    with _opened(path, layout, errors) as reader:
        yield from reader.blocks()


@contextmanager
def _opened(path: Path, layout: Layout, errors: ErrorCollector) -> "Iterator[_Reader]":
    file, encoding = open_as_utf8(path, layout.encoding)
    with file, as_damaged_gzip():
        yield _Reader(file, detect(file, encoding, layout), errors)


class _Lines:
    """Decoded lines of a file. `offset` is the position of the next line, `begin` that of its row."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.row = 1
        self.begin = self.offset = file.tell()

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(MAX_LINE_BYTES):
            self.offset += len(line)
            if self.offset - self.begin >= MAX_LINE_BYTES:  # quoted line breaks do not end a row
                raise _invalid_row(self.row, f"a line is longer than {MAX_LINE_BYTES} bytes")
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                detail = f"byte {line[error.start]:#04x} is not UTF-8: save the file as UTF-8"
                raise _invalid_row(self.row, detail) from error


class _Reader:
    """One pass over a file. `row` is the number of the next row."""

    def __init__(self, file: BinaryIO, dialect: Dialect, errors: ErrorCollector) -> None:
        self.file = file
        self.dialect = dialect
        self.delimiter = dialect.delimiter
        self.errors = errors
        self.row = 1
        self.names = self._header()
        self.block_bytes = max(BLOCK_BYTES, BLOCK_BYTES_A_COLUMN * len(self.names))

    def blocks(self) -> Iterator[RowBlock]:
        while content := self._read_lines():
            if b'"' in content:
                self.file.seek(-len(content), 1)
                yield from self._parse_csv(self.file)
                return
            block = self._split_unquoted(content)
            yield from [block] if block else self._parse_csv(io.BytesIO(content))

    def _header(self) -> list[str]:
        self.file.seek(self.dialect.start)
        lines = _Lines(self.file)
        with _csv_errors(lines):
            names = next((line for line in self._rows(lines) if line), None)
        if names is None:
            raise InvalidDataset("The file is empty.", [FieldError("/file", "the file is empty")])
        if self.dialect.header is False:
            self.file.seek(self.dialect.start)
            return check_names([f"column_{number}" for number in range(1, len(names) + 1)])
        self.file.seek(lines.offset)
        if self.dialect.header is None:
            check_is_header(names, self._first_rows())
        return check_names(names)

    def _first_rows(self) -> list[list[str]]:
        start = self.file.tell()
        lines = _Lines(self.file)
        try:
            return list(islice(self._rows(lines), HEADER_ROWS))
        except (csv.Error, InvalidDataset):  # reported with its row when all rows are read
            return []
        finally:
            self.file.seek(start)

    def _rows(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Parse lines by the csv module."""
        spaced = self.dialect.spaced_quotes or self.delimiter == " "
        if self.delimiter == " ":
            lines = (line.strip() + "\n" for line in lines)
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=spaced)

    def _read_lines(self) -> bytes:
        """Read about one block, up to the end of a line."""
        content = self.file.read(self.block_bytes)
        if not content or content.endswith(b"\n"):
            return content
        rest = self.file.readline(MAX_LINE_BYTES)
        if len(rest) == MAX_LINE_BYTES:
            row = self.row + content.count(b"\n")
            raise _invalid_row(row, f"a line is longer than {MAX_LINE_BYTES} bytes")
        return content + rest

    def _split_unquoted(self, content: bytes) -> RowBlock | None:
        """Split a block without quotes. Return None if a line has another number of cells than the header."""
        content = content.replace(b"\r\n", b"\n")
        content = content if content.endswith(b"\n") else content + b"\n"
        count = _regular_lines(content, self.delimiter, len(self.names))
        if count is None or not _is_utf8(content):
            return None
        frame = pl.read_csv(
            content,
            has_header=False,
            separator=self.delimiter,
            quote_char=None,
            infer_schema=False,
            new_columns=self.names,
        )
        rows = range(self.row, self.row + count)
        self.row += count
        return RowBlock(rows, frame)

    def _parse_csv(self, file: BinaryIO) -> Iterator[RowBlock]:
        lines = _Lines(file)
        lines.row = self.row
        begin, rows, cells = lines.offset, list[int](), list[Sequence[str]]()
        with _csv_errors(lines):
            for line in self._rows(lines):
                if self._is_complete(line):
                    rows.append(self.row)
                    cells.append(line)
                self.row += bool(line)
                lines.row, lines.begin = self.row, lines.offset
                if len(rows) >= SLOW_ROWS or lines.offset - begin > self.block_bytes:
                    yield self._block(rows, cells)
                    begin, rows, cells = lines.offset, [], []
        if rows:
            yield self._block(rows, cells)

    def _is_complete(self, line: Sequence[str]) -> bool:
        if line and len(line) != len(self.names):
            detail = f"row {self.row} has {len(line)} cells, the header has {len(self.names)}"
            self.errors.add(f"/rows/{self.row}", detail)
        return len(line) == len(self.names)

    def _block(self, rows: Sequence[int], cells: Sequence[Sequence[str]]) -> RowBlock:
        series = [pl.Series(name, column, pl.String) for name, column in zip(self.names, zip(*cells, strict=True), strict=False)]
        if not cells:
            series = [pl.Series(name, [], pl.String) for name in self.names]
        return RowBlock(rows, pl.DataFrame(series).with_columns(pl.all().replace("", None)))


def _regular_lines(content: bytes, delimiter: str, width: int) -> int | None:
    """Return the number of lines. Return None if one is blank, has not `width` cells or needs the csv module's rules."""
    if b"\r" in content:
        return None
    characters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    delimiters = np.flatnonzero(characters == ord(delimiter))
    cells = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    blank = (np.diff(ends, prepend=-1) == 1).any()
    return None if blank or (cells != width).any() else len(ends)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _csv_errors(lines: _Lines) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise _invalid_row(lines.row, f"not readable as CSV: {error}") from error


def _invalid_row(row: int, detail: str) -> InvalidDataset:
    return InvalidDataset(f"Row {row}: {detail}", [FieldError(f"/rows/{row}", f"row {row}: {detail}")])
