"""Pixels parsed from JSON text: equal to the result of `json`, or None."""

import json
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats import json_pixels

SHAPES = [(2, 2, 1), (3, 1, 3), (1, 1, 1), (2, 3, 3)]


def parse_with_json(text: bytes, shape: tuple[int, ...]) -> Any:
    """Return the arrays of a text with integers 0..255 in this shape, else None."""
    try:
        values = json.loads(text)
        array = np.array(values)
    except ValueError:
        return None
    whole = (shape, shape[:-1]) if shape[-1] == 1 else (shape,)
    if not isinstance(values, list) or array.dtype.kind not in "iu" or array.shape[1:] not in whole or not array.size:
        return None
    return array.reshape(-1, *shape) if array.min() >= 0 and array.max() <= 255 else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("separator", [",", ", "])
@pytest.mark.parametrize("rows", [1, 5])
def test_valid_images_are_parsed_exactly(shape: tuple[int, ...], separator: str, rows: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *shape), dtype=np.uint8)
    texts = [json.dumps(pixels.tolist(), separators=(separator, ":")).encode()]
    if shape[-1] == 1:
        texts.append(json.dumps(pixels[..., 0].tolist(), separators=(separator, ":")).encode())
    for text in texts:
        read = json_pixels.parse_pixels(text, shape)
        assert read is not None
        np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[[]]",
        "[[[0,1],[2,3]]",
        "[[[0,1],[2,3]]]]",
        "[[[0,1],[2,256]]]",
        "[[[0,1],[2,1000]]]",
        "[[[0,1],[2,03]]]",
        "[[[00,1],[2,3]]]",
        "[[[0,1],[2,-3]]]",
        "[[[0,1],[2,3.0]]]",
        "[[[0,1],[2,3e0]]]",
        "[[[0,1],[2]],[3]]",
        "[[[0,1,2],[3]]]",
        "[[0,1],[2,3]]",
        "[[[0 1,],[2,3]]]",
        "[[[,0 1],[2,3]]]",
        "[[[0,1]2,[,3]]]",
        "[[1[0,],[2,3]]]",
        "[[[0,1],[2,3]],[[4,5],[6,]]]7",
        "[[[1 2,3],[4,]]]",
        "[[[0,1] ,[2,3]]]",
        "[[[0,1],[2,null]]]",
        '[[[0,1],[2,"3"]]]',
    ],
)
def test_any_other_text_returns_none(text: str) -> None:
    assert json_pixels.parse_pixels(text.encode(), (2, 2, 1)) is None


@settings(max_examples=400, derandomize=True, deadline=None, database=None)
@given(data=st.data())
def test_damaged_text_is_never_parsed_differently_from_json(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(SHAPES))
    values = np.array(data.draw(st.lists(st.integers(0, 300), min_size=2 * prod(shape), max_size=2 * prod(shape))))
    text = bytearray(json.dumps(values.reshape(2, *shape).tolist()), "ascii")
    for _ in range(data.draw(st.integers(0, 3))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position : position + data.draw(st.integers(0, 2))] = data.draw(st.text("[], 0129-.", max_size=2)).encode()
    read = json_pixels.parse_pixels(bytes(text), shape)
    if read is not None:
        np.testing.assert_array_equal(read, parse_with_json(bytes(text), shape))
