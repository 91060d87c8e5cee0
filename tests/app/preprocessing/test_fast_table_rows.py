"""The fast encoder of table rows gives what the general one gives, or declines."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.modalities import MODALITIES
from app.modalities.tabular import TabularPreprocessing
from app.preprocessing.fitted_columns import CategoryColumn, NumberColumn

TABULAR = MODALITIES["tabular"]
COLUMNS = (
    NumberColumn(name="age", mean=40, std=10),
    CategoryColumn(name="site", levels=("a", "na", "été")),
    CategoryColumn(name="code", levels=("01", "02")),
    CategoryColumn(name="flag", levels=("1", "true")),
)
FITTED = TabularPreprocessing(columns=COLUMNS)
ENCODE = TABULAR.encoder(FITTED, Path())
FAST = TABULAR.fast_encoder(FITTED, ENCODE)

LEVELS = st.sampled_from(
    [
        None,
        "",
        " ",
        "a",
        " a ",
        "A",
        "na",
        "NA",
        "?",
        "e\u0301te\u0301",
        "01",
        "1",
        1,
        1.0,
        "1.0",
        2,
        True,
        "True",
        "b",
        "c\u200b",
        [1],
    ]
)
ROWS = st.lists(st.tuples(st.sampled_from([None, 1, 2.5, "3"]), LEVELS, LEVELS, LEVELS).map(list), min_size=1, max_size=6)


@given(rows=ROWS, by_name=st.booleans())
def test_fast_rows_equal_those_of_the_general_encoder(rows: list[list[Any]], by_name: bool) -> None:
    values = [dict(zip([column.name for column in COLUMNS], row, strict=True)) for row in rows] if by_name else rows
    fast = FAST(orjson.dumps(values), 100)
    if fast is None:
        return
    raw = TABULAR.parse(orjson.loads(orjson.dumps(values)), FITTED)
    encoded = ENCODE(raw)
    assert fast.arrays.keys() == encoded.keys()
    for name, array in encoded.items():
        np.testing.assert_array_equal(fast.arrays[name], array)
        assert fast.arrays[name].dtype == array.dtype
    assert list(fast.warnings) == TABULAR.unknown_values(raw, FITTED)


@pytest.mark.parametrize("cell", ["b", "", " a ", 7, True, "x" * 100])
def test_unknown_and_empty_levels_are_encoded_fast(cell: object) -> None:
    assert FAST(orjson.dumps([[1, cell, "01", "1"]]), 100) is not None


@pytest.mark.parametrize("cell", [["a"], {"a": 1}, "x" * 100_000, "\x00"])
def test_cells_that_are_no_levels_are_declined(cell: object) -> None:
    assert FAST(orjson.dumps([[1, cell, "01", "1"]]), 100) is None
