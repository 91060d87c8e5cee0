"""Canonical names: one spelling in every format."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.names import canonical_name, canonical_names, canonical_text

SPELLINGS = {
    "cafe\u0301": "café",
    " a\N{NO-BREAK SPACE}": "a",
    "\N{IDEOGRAPHIC SPACE}a": "a",
    "a\N{NO-BREAK SPACE}b": "a b",
    "\N{ZERO WIDTH NO-BREAK SPACE}a\N{ZERO WIDTH SPACE}b": "ab",
    "True": "true",
    " FALSE ": "false",
    "1.0": "1",
    "-2.00": "-2",
    "01": "01",
    "1.50": "1.50",
    " ": None,
    "\N{ZERO WIDTH SPACE}": None,
}


@pytest.mark.parametrize(("spelled", "expected"), SPELLINGS.items())
def test_spellings_of_a_name_are_one_name(spelled: str, expected: str | None) -> None:
    assert canonical_name(spelled) == expected


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (1, "1"), (1.0, "1"), (2.5, "2.5"), (float("nan"), None)])
def test_typed_values_have_the_names_of_their_texts(value: object, expected: str | None) -> None:
    assert canonical_name(value) == expected
    assert canonical_names(pl.Series([value])).to_list() == [expected]


def test_column_names_keep_case_and_numbers() -> None:
    assert canonical_text(" True\u200b") == "True"
    assert canonical_text("1.0") == "1.0"


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.from_regex(r"\A\s*-?[0-9]+\.0*\s*\Z")))
def test_a_column_and_single_values_agree(texts: list[str]) -> None:
    names = canonical_names(pl.Series(texts, dtype=pl.String)).to_list()
    assert names == [canonical_name(text) for text in texts]
    assert canonical_names(pl.Series(names, dtype=pl.String)).to_list() == names
