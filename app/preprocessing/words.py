"""Words and pairs of words of a text in any script.

Texts are in NFC and lower case. Combining marks belong to their letter. Each emoji is a word. In scripts without spaces each
character is a word, and pairs exist only of characters that touch.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

_PLAIN_WORD = re.compile(r"\w+(?:'\w+)?")
_DENSE = (
    "\u0e00-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai, Lao, Tibetan, Burmese, Khmer, Tai
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f"
)
"""Characters of scripts without spaces between words. Sets within 16 bits are fast in regular expressions."""
_RARE_DENSE = "\U00020000-\U0003ffff"
_EMOJI = "\u203c\u2049\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\U0001f000-\U0001faff"
_EMOJI_PARTS = "\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
"""Variation selectors, key caps, skin tones and the tags of flags."""
_JOINERS = "\u200c\u200d"


def ngrams(text: str) -> list[str]:
    """Return the words of a text and its pairs of neighbouring words."""
    normal = text.lower() if text.isascii() else _normalised(text)
    if normal.isascii() or not _special().search("".join(set(normal))):
        words = _PLAIN_WORD.findall(normal)
        return words + [f"{first} {second}" for first, second in pairwise(words)]
    runs = [(match.lastgroup == "dense", _words_of(match)) for match in _pattern().finditer(normal)]
    return [word for _, words in runs for word in words] + list(_pairs(runs))


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).replace("\u2019", "'")


def _words_of(match: re.Match[str]) -> list[str]:
    """Return the characters, with their marks, of a run of a script without spaces, or the one word of others."""
    if match.lastgroup != "dense":
        return [match[0]]
    return _dense_character().findall(match[0])


def _pairs(runs: list[tuple[bool, list[str]]]) -> Iterator[str]:
    """Yield neighbouring words as one term. Characters of a script without spaces form one only if they touch."""
    before: tuple[bool, list[str]] | None = None
    for is_dense, words in runs:
        if before is not None and not (is_dense and before[0]):
            yield f"{before[1][-1]} {words[0]}"
        yield from map("".join, pairwise(words))
        before = is_dense, words


@cache
def _dense_character() -> re.Pattern[str]:
    return re.compile(rf"(?:[{_DENSE}]|[{_RARE_DENSE}])[{_marks()}]*")


@cache
def _special() -> re.Pattern[str]:
    """Return the pattern of all characters that the plain words do not cover."""
    return re.compile(rf"[{_DENSE}{_RARE_DENSE}{_EMOJI}{_marks()}{_JOINERS}\U0001f1e6-\U0001f1ff]")


@cache
def _pattern() -> re.Pattern[str]:
    marks = _marks()
    letter = rf"[^\W{_DENSE}][{marks}]*"
    word = rf"(?:{letter})+(?:['{_JOINERS}](?:{letter})+)*"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    one = rf"[{_EMOJI}][{_EMOJI_PARTS}]*"
    dense = rf"(?![{marks}])[{_DENSE}{_RARE_DENSE}{marks}]+"
    return re.compile(rf"(?P<dense>{dense})|(?P<word>{word})|(?P<emoji>{flag}|{one}(?:\u200d{one})*)")


def _marks() -> str:
    """Return all combining marks as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in range(0x300, 0x10000):
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and chr(code) not in _EMOJI_PARTS:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
