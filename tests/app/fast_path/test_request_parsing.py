"""The fast path parses small grey images in JSON and declines everything else."""

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.fast_path import request_parsing
from app.modalities.base import EncodedInputs
from app.preprocessing import fast_pixels
from app.serving.loaded_model import LoadedModel

SHAPE = (2, 3, 1)
MOST_INPUTS = 3


def encode(text: bytes, max_inputs: int) -> EncodedInputs | None:
    pixels = fast_pixels.parse(text, SHAPE, max_inputs)
    return None if pixels is None else EncodedInputs({"pixels": pixels})


def pixels_of(inputs: str) -> NDArray[Any] | None:
    version = cast(LoadedModel, SimpleNamespace(fast_encode=encode))
    body = b'{"model": "grey", "inputs": %s}' % inputs.encode()
    question = request_parsing.parse_json(lambda reference, precision: version, MOST_INPUTS, body)
    return question.encoded["pixels"] if question is not None else None


@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n", ":")])
@pytest.mark.parametrize("count", range(1, MOST_INPUTS + 1))
def test_grey_images_are_parsed_exactly(count: int, separators: tuple[str, str]) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    pixels = pixels_of(json.dumps(images[..., 0].tolist(), separators=separators))
    assert pixels is not None
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, images)


@pytest.mark.parametrize(
    "inputs",
    [
        "[[[1,2,3],[4,5,6]],[[1,2,3]]]",
        "[[[1,2],[3,4,5,6]]]",
        "[[3,3]]",
        "[[]]",
        "[[1,2,3],[4,5,6]]",
        "[[[1,2,3],3]]",
        "[[[1,2,3],null]]",
        "[[[1,2,null],[4,5,6]]]",
        "[[[1,2,true],[4,5,6]]]",
        '[[[1,2,3],"456"]]',
        "[[[1,2,3],{}]]",
        "[[[1,2,[3]],[4,5,6]]]",
        "[[[1,2,3.0],[4,5,6]]]",
        "[[[1,2,3e0],[4,5,6]]]",
        "[[[1,2,256],[4,5,6]]]",
        "[[[1,2,-1],[4,5,6]]]",
        "[[[1,2,99999999999999999999],[4,5,6]]]",
        "[[[1,2,03],[4,5,6]]]",
        "[[[1,2,3],[4,5,6]]" + ",[[1,2,3],[4,5,6]]" * MOST_INPUTS + "]",
    ],
)
def test_anything_but_grey_images_is_declined(inputs: str) -> None:
    assert pixels_of(inputs) is None
