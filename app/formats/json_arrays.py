"""Elements of one JSON array, read piece by piece."""

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

from app.errors import FieldError, InvalidDataset
from app.formats.validation import pointer, printable

PIECE_BYTES = 64 * 1024
_BLANK = " \t\r\n"


def elements(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Yield the text of each element of the array at the file's position. Raise InvalidDataset."""
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
    text, row, size, opening = "", 1, PIECE_BYTES, "["
    while True:
        piece = file.read(size)
        try:
            text += utf8.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise _invalid(row, f"byte {error.object[error.start]:#04x} is not UTF-8") from error
        while True:
            start = _begin(text, opening, row)
            if start < 0:
                break
            if text[start] == "]":
                return
            try:
                _, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError) as error:
                if not piece or len(text) > max_bytes:
                    raise _invalid(row, f"not JSON: {printable(str(error))}") from error
                break
            if end == len(text) and piece:  # a number may go on
                break
            yield text[start:end].encode(errors="replace")
            text, row, size, opening = text[end:], row + 1, PIECE_BYTES, ","
        if not piece:
            raise _invalid(row, "the array has no end")
        size = max(PIECE_BYTES, len(text))


def _begin(text: str, opening: str, row: int) -> int:
    """Return the position of the next element or of the closing bracket, or -1 if more text is needed."""
    text_start = len(text) - len(text.lstrip(_BLANK))
    if text_start == len(text):
        return -1
    if text[text_start] == "]" and opening == ",":
        return text_start
    if text[text_start] != opening:
        raise _invalid(row, f"expected {opening!r}")
    position = text_start + 1
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position if position < len(text) else -1


def _invalid(row: int, detail: str) -> InvalidDataset:
    return InvalidDataset(f"Element {row}: {detail}", [FieldError(pointer("rows", row), f"element {row}: {detail}")])
