"""Rows of numbers in JSON: the array of the general encoder, or nothing."""

import numpy as np
import orjson
import pytest

from app.preprocessing import fast_numbers
from app.preprocessing.fast_table_rows import FastRowEncoder


@pytest.mark.parametrize("text", ["[[1, 2.5]]", "[[1,-2e3],[0.1,12345678901234567890]]", "[[ 3 , 4 ]]"])
def test_rows_of_numbers_are_those_of_the_general_encoder(text: str) -> None:
    numbers = fast_numbers.parse(text.encode(), 2, 10)
    general = FastRowEncoder({"a": None, "b": None})(orjson.loads(text))
    assert numbers is not None
    assert general is not None
    assert numbers.dtype == np.float32
    assert np.array_equal(numbers, general[0]["numbers"])


OTHERS = """[[1,null]] [["1",2]] [[true,2]] [[false,2]] [[1,2,3]] [[1],[2]] [[1,[2]]] [[1e300,2]] [[1,2] [] [1,2] [{"a":1}]
[[1,2],[3,4],[5,6]]"""


@pytest.mark.parametrize("text", OTHERS.split())
def test_everything_else_is_declined(text: str) -> None:
    assert fast_numbers.parse(text.encode(), 2, 2) is None
