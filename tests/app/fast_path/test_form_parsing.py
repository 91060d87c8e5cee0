"""Forms that the fast path reads, and those that it leaves to the routes."""

import pytest

from app.fast_path.form_parsing import Form, boundary_of, parse_form

PART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndigits\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n\x89PNG\r\n'
END = b"--b--\r\n"


def test_fields_and_files_are_read() -> None:
    assert boundary_of(b"multipart/form-data; boundary=b") == b"b"
    assert parse_form(b"b", PART + FILE + FILE + END) == Form({"model": "digits"}, [b"\x89PNG"] * 2)


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        (b"b" * 300, PART + FILE + END),
        (b"c", PART + FILE + END),
        (b"b", PART + FILE),
        (b"b", PART + PART + END),
        (b"b", FILE.replace(b'"files"', b'"other"') + END),
        (b"b", b""),
    ],
    ids=["long boundary", "another boundary", "no end", "field twice", "file of another name", "empty"],
)
def test_malformed_and_unusual_forms_are_left_to_the_routes(boundary: bytes, body: bytes) -> None:
    assert parse_form(boundary, body) is None
