"""Shifts of texts: other words, shorter texts and typing errors."""

import zlib
from collections.abc import Callable

from benchmarks.shifts.changes.labels import CHANGES as LABEL_CHANGES
from benchmarks.shifts.changes.labels import with_label_shift
from benchmarks.shifts.rows import Change, Domains, Random, Rows, halves

SHORT_WORDS = 20


def _changed(alter: Callable[[str, Random], str]) -> Change:
    def change(rows: Rows, random: Random) -> Domains:
        source, target = halves(rows, random)
        return source, target.with_inputs([alter(text, random) for text in target.inputs])

    return change


def _other_words(text: str, random: Random) -> str:
    """Replace a third of the vocabulary, always the same words."""
    return " ".join(f"{word}x" if zlib.crc32(word.lower().encode()) % 3 == 0 else word for word in text.split())


def _short(text: str, random: Random) -> str:
    return " ".join(text.split()[:SHORT_WORDS])


def _typing_errors(text: str, random: Random) -> str:
    letters = list(text)
    for position in random.integers(max(1, len(letters) - 1), size=len(letters) // 15):
        letters[position : position + 2] = letters[position : position + 2][::-1]
    return "".join(letters)


CHANGES: dict[str, Change] = {
    **LABEL_CHANGES,
    "vocabulary": _changed(_other_words),
    "short": _changed(_short),
    "typing-errors": _changed(_typing_errors),
    "vocabulary-labels": with_label_shift(_changed(_other_words)),
}
