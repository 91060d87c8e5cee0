"""Limits of JSON texts before they are parsed."""

import pytest

from app.formats.json_limits import MAX_CONTAINERS, MAX_VALUES, exceeded_limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[" * MAX_CONTAINERS + b" ", None),
        (b"[{" * (MAX_CONTAINERS // 2) + b"[", "1000000 arrays and objects"),
        (b"0," * MAX_VALUES, None),
        (b"0," * (MAX_VALUES + 1), "4000000 values"),
    ],
    ids=["containers", "too many containers", "values", "too many values"],
)
def test_text_exceeds_a_limit_by_one(text: bytes, expected: str | None) -> None:
    assert exceeded_limit(text) == expected
