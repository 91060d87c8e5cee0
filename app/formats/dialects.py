"""The dialect of a CSV file, detected from its first bytes: encoding, line ends, delimiter, quotes and header.

Files in UTF-16 or Windows-1252, or with CR line ends, are converted to UTF-8 with LF in a temporary file. Files compressed by
gzip are decompressed as they are read.
"""

import codecs
import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import AfterValidator, Field

from app.errors import FieldError, InvalidDataset
from app.formats.gzip_files import open_decompressed
from app.formats.validation import printable

Delimiter = Literal[",", ";", "\t", "|", " "]


def _checked_encoding(name: str) -> str:
    try:
        bytes(4).decode(name, "ignore")  # refuses codecs that are not of text
    except LookupError as error:
        raise ValueError("not the name of an encoding; use for example `utf-8`, `cp1252` or `gb18030`") from error
    return name


Encoding = Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9_.-]+$"), AfterValidator(_checked_encoding)]


@dataclass(frozen=True, slots=True)
class Layout:
    """Given properties of a file of rows. None: detected."""

    delimiter: Delimiter | None = None
    encoding: str | None = None
    header: bool | None = None
    sheet: str | None = None
    """Name of the sheet of a workbook. Default: the first one."""


DELIMITERS: tuple[Delimiter, ...] = ("\t", ";", "|", ",")

SAMPLE_BYTES = 64 * 1024
SAMPLE_LINES = 200
COPY_BYTES = 1024 * 1024
IN_MEMORY_BYTES = 16 * 1024 * 1024
_BOM = codecs.BOM_UTF8
_BINARY = {
    b"PK\x03\x04": "an Excel workbook or another zip archive: let the name of a workbook end in .xlsx",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: let its name end in .xls",
    b"PAR1": "a Parquet file: let its name end in .parquet",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is read. `start` is the position of the header, after byte order marks and Excel's `sep=` line."""

    delimiter: Delimiter
    encoding: str
    start: int
    spaced_quotes: bool
    header: bool | None = None


def open_as_utf8(path: Path, encoding: str | None = None) -> tuple[BinaryIO, str]:
    """Open a file as UTF-8 with LF or CR LF line ends, and return its encoding. Raise InvalidDataset."""
    file = open_decompressed(path)
    sample = file.read(SAMPLE_BYTES)
    file.seek(0)
    for magic, what in _BINARY.items():
        if sample.startswith(magic):
            file.close()
            raise InvalidDataset(f"The file is {what}.", [FieldError("/file", f"the file is {what}")])
    encoding = codecs.lookup(encoding).name if encoding else _encoding(sample)
    if encoding == "utf-8" and (b"\n" in sample or b"\r" not in sample):
        return file, encoding
    with file:
        return _converted(file, encoding), encoding


def detect(file: BinaryIO, encoding: str, layout: Layout) -> Dialect:
    """Detect the dialect of a file in UTF-8. A given delimiter is kept, except where a `sep=` line names another."""
    sample = file.read(SAMPLE_BYTES)
    start = 0
    while sample.startswith(_BOM, start):
        start += len(_BOM)
    line, newline, _ = sample[start:].partition(b"\n")
    named = _named_delimiter(line.strip().decode("utf-8", "replace")) if newline else None
    start += len(line) + 1 if named else 0
    text = sample[start:].decode("utf-8", "replace")
    lines = text.splitlines(keepends=True)
    lines = lines[:SAMPLE_LINES] if len(sample) < SAMPLE_BYTES else lines[:-1][:SAMPLE_LINES] or lines
    chosen = layout.delimiter or named or _detect_delimiter(lines)
    return Dialect(chosen, encoding, start, _has_spaced_quotes(lines, chosen), layout.header)


def _encoding(sample: bytes) -> str:
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = sample[0:1000:2], sample[1:1000:2]
    if len(odd) > 1 and odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le"
    if len(even) > 1 and even.count(0) > 0.7 * len(even) and not odd.count(0):
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _converted(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return a temporary file in UTF-8 with LF line ends. Raise InvalidDataset for bytes that the encoding does not have."""
    copy = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    text = io.TextIOWrapper(file, encoding, newline=None)
    try:
        while block := text.read(COPY_BYTES):
            copy.write(block.encode())
    except UnicodeError as error:
        copy.close()
        detail = f"the file is neither UTF-8 nor {encoding}: save it as UTF-8"
        raise InvalidDataset(detail, [FieldError("/file", f"{detail} ({printable(str(error))})")]) from error
    text.detach()
    copy.seek(0)
    return copy  # type: ignore[return-value]


def _named_delimiter(line: str) -> Delimiter | None:
    """Return the delimiter of Excel's first line `sep=;`, if it is one."""
    name, equals, delimiter = line.strip('"').lower().partition("=")
    if name != "sep" or not equals:
        return None
    return next((known for known in DELIMITERS if known == (delimiter or "\t")), None)


def _detect_delimiter(lines: Sequence[str]) -> Delimiter:
    """Return the delimiter that splits all lines into the same number of cells, or the most frequent one of the header."""
    for delimiter in DELIMITERS:
        widths = {len(row) for row in _rows(lines, delimiter) if row}
        if len(widths) == 1 and widths != {1}:
            return delimiter
    header = next((line for line in lines if line.strip()), "")
    frequent = max(DELIMITERS, key=lambda delimiter: (len(next(_rows([header], delimiter))), delimiter == ","))
    if len(next(_rows([header], frequent))) == 1 and _is_split_by_spaces(lines):
        return " "
    return frequent


def _is_split_by_spaces(lines: Sequence[str]) -> bool:
    """Return whether spaces split all lines into as many cells, with numbers in one column at least."""
    rows = [line.split() for line in lines if line.strip()]
    if len(rows) < 3 or len(rows[0]) < 2 or len(set(map(len, rows))) != 1:
        return False
    return any(all(_is_number(cell) for cell in column) for column in zip(*rows[1:], strict=True))


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip('"').replace(",", "."))
    except ValueError:
        return False
    return True


def _has_spaced_quotes(lines: Sequence[str], delimiter: Delimiter) -> bool:
    """Return whether cells begin with a space before the quote."""
    return any(cell[:1] == " " and cell.lstrip().startswith('"') for row in _rows(lines, delimiter) for cell in row)


def _rows(lines: Sequence[str], delimiter: Delimiter) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter)
