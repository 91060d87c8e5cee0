"""Nested JSON lists of pixels straight to an array, without a Python object for each of them.

Context: of a batch of pictures sent as JSON, most of the time goes into making a Python int of every pixel and taking it
apart again. Decision: the common case - whole numbers 0..255, nested the same way everywhere, compact or with a space after
each comma - is read by operations on the whole text at once; anything else, wrong or merely unusual, is left to the general
way, which also says what is wrong. Alternatives: simdjson's buffers, about as fast, but without wheels for every Python that
this runs on.
"""

from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

_DIGITS = b"0123456789"
_OPEN, _CLOSE, _COMMA, _SPACE = b"[], "
_MARGIN = b"[[["
"""In front of the text, so that the three places before any digit are there."""

Bytes = NDArray[np.uint8]


def parse_pixels(text: bytes, shape: tuple[int, ...]) -> Bytes | None:
    """The array (n, *shape) that the JSON text of a list of such arrays means; None when it is not plainly that.

    A trailing axis of 1 may be left out.
    """
    places = np.frombuffer(_MARGIN + text, np.uint8)
    digits = places - np.uint8(_DIGITS[0])
    is_digit = digits < 10
    ends = np.flatnonzero(is_digit[:-1] > is_digit[1:])
    count, rest = divmod(len(ends), prod(shape))
    if rest or not count or not _nested(text, count, shape) or _outside(places, is_digit):
        return None
    values = _values(digits, ends)
    return None if values is None else values.reshape(count, *shape)


def _nested(text: bytes, count: int, shape: tuple[int, ...]) -> bool:
    """Whether without its numbers and spaces the text is what so many arrays of this shape look like."""
    skeleton = text.translate(None, _DIGITS + b" ")
    whole = _skeleton(shape)
    if shape[-1] == 1 and len(skeleton) != count * (len(whole) + 1) + 1:
        whole = _skeleton(shape[:-1])
    return skeleton == b"[" + b",".join([whole] * count) + b"]"


@lru_cache(64)
def _skeleton(shape: tuple[int, ...]) -> bytes:
    text = b""
    for size in reversed(shape):
        text = b"[" + b",".join([text] * size) + b"]"
    return text


def _outside(places: Bytes, is_digit: NDArray[np.bool_]) -> bool:
    """Whether a space is not after a comma, or a number before `[` or after `]`.

    With as many numbers as places for them, any other place is right.
    """
    left, right = places[:-1], places[1:]
    stray = (right == _SPACE) > (left == _COMMA)
    after = (left == _CLOSE) & is_digit[1:]
    before = is_digit[:-1] & (right == _OPEN)
    return bool(stray.any() or after.any() or before.any())


def _values(digits: Bytes, ends: NDArray[np.intp]) -> Bytes | None:
    """The numbers whose last digits are at `ends`, None when one is above 255 or begins with a zero that JSON has not."""
    ones, tens, hundreds, more = (digits.take(ends - place) for place in range(4))
    has_tens = tens < 10
    has_hundreds = has_tens & (hundreds < 10)
    zero_first = (tens == 0) > has_hundreds
    if zero_first.any() or (has_hundreds & ((hundreds == 0) | (more < 10))).any():
        return None
    values = ones + tens * has_tens * np.uint16(10) + hundreds * has_hundreds * np.uint16(100)
    return values.astype(np.uint8) if values.max() <= 255 else None
