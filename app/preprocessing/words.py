"""Words and pairs of words of a text in any script.

Texts are in NFC and lower case. Combining marks belong to their letter. Each emoji is a word. In scripts without spaces each
character is a word, and pairs exist only of characters that touch.
"""

import re
import unicodedata
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
    found = list(_pattern().finditer(normal))
    return [match[0] for match in found] + [pair for first, second in pairwise(found) if (pair := _pair(first, second))]


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).replace("\u2019", "'")


def _pair(first: re.Match[str], second: re.Match[str]) -> str | None:
    """Return two neighbouring words as one term. Characters of a script without spaces form one only if they touch."""
    if first.lastgroup == second.lastgroup == "dense":
        return first[0] + second[0] if first.end() == second.start() else None
    return f"{first[0]} {second[0]}"


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
    dense = rf"(?:(?![{marks}])[{_DENSE}]|[{_RARE_DENSE}])[{marks}]*"
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
