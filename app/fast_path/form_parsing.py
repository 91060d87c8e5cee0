"""Forms with files in the body of a request that is complete in memory."""

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

DISPOSITION = b"content-disposition"
MAX_PARTS = 1100
"""More than any accepted request has."""


class Form(NamedTuple):
    """The text fields, and the contents of the files named `files` in their order."""

    fields: dict[str, str]
    files: list[bytes]


class _Part:
    """One part while it is read."""

    def __init__(self) -> None:
        self.name, self.value = b"", b""
        self.headers: dict[bytes, bytes] = {}
        self.data: list[bytes] = []


class _Collector:
    """The callbacks of the parser."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_complete = False

    def on_part_begin(self) -> None:
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].value += data[start:end]

    def on_header_end(self) -> None:
        part = self.parts[-1]
        part.headers[part.name.lower()] = part.value
        part.name, part.value = b"", b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data.append(data[start:end])

    def on_end(self) -> None:
        self.is_complete = True


def parse_form(boundary: bytes, body: bytes) -> Form | None:
    """Return the form, None if it is malformed or unusual: the routes then explain it or read it."""
    collector = _Collector()
    names = ("on_part_begin", "on_header_field", "on_header_value", "on_header_end", "on_part_data", "on_end")
    try:  # a boundary that is too long is an error as well
        parser = MultipartParser(boundary, {name: getattr(collector, name) for name in names})  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError:
        return None
    if not collector.is_complete or len(collector.parts) > MAX_PARTS:
        return None
    return _form_of(collector.parts)


def boundary_of(content_type: bytes) -> bytes | None:
    """Return the boundary of `multipart/form-data`, None for other media types."""
    media_type, options = parse_options_header(content_type)
    return options.get(b"boundary") or None if media_type == b"multipart/form-data" else None


def _form_of(parts: list[_Part]) -> Form | None:
    fields: dict[str, str] = {}
    files = []
    for part in parts:
        _, options = parse_options_header(part.headers.get(DISPOSITION))
        name, content = options.get(b"name", b""), b"".join(part.data)
        if b"filename" in options:
            if name != b"files":
                return None
            files.append(content)
            continue
        text = name.decode("latin-1")
        if not content.isascii() or text in fields:
            return None
        fields[text] = content.decode()
    return Form(fields, files)
