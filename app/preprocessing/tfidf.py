"""TF-IDF over words and bigrams.

The vocabulary holds the terms with the highest document frequency.
A weight is (1 + ln count) * (1 + ln((1 + texts) / (1 + texts with the term))), scaled to unit L2 norm per text.
Id 0 is padding.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.preprocessing import words

MAX_TERMS = 20_000
MAX_COUNTED = 2_000_000
_WORD = re.compile(r"\w+(?:'\w+)?")


def _first_ngrams(text: str) -> list[str]:
    """Return the terms as in the first vocabularies, which split words at combining marks and know no emoji."""
    found = _WORD.findall(text.lower())
    return found + [f"{first} {second}" for first, second in pairwise(found)]


_NGRAMS: dict[int, Callable[[str], list[str]]] = {1: _first_ngrams, 2: words.ngrams}
"""How texts become terms, by the version in the vocabulary file. Files without one have version 1."""


class DocumentFrequencies:
    """The number of texts that contain each term. Terms seen once are dropped if the table grows too large."""

    def __init__(self) -> None:
        self.texts = 0
        self.counts: Counter[str] = Counter()

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.texts += 1
            self.counts.update(set(words.ngrams(text)))
            if len(self.counts) > MAX_COUNTED:
                self.counts = Counter({term: count for term, count in self.counts.items() if count > 1})

    def write(self, path: Path) -> int:
        """Write the vocabulary with its inverse document frequencies and return its size."""
        frequent = sorted(self.counts, key=lambda term: (-self.counts[term], term))[:MAX_TERMS]
        idf = [1 + float(np.log((1 + self.texts) / (1 + self.counts[term]))) for term in frequent]
        path.write_text(json.dumps({"version": max(_NGRAMS), "terms": frequent, "idf": idf}), encoding="utf-8")
        return len(frequent)


class TfidfVectorizer:
    """Encoder that uses the vocabulary written by `DocumentFrequencies.write`."""

    def __init__(self, path: Path) -> None:
        stored = json.loads(path.read_text(encoding="utf-8"))
        self.ids = {term: number for number, term in enumerate(stored["terms"], start=1)}
        self.ngrams = _NGRAMS[stored.get("version", 1)]
        self.idf = np.array([0.0, *stored["idf"]])

    def encode(self, texts: Sequence[str], max_length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ids and weights, (n, L) each, of the `max_length` heaviest terms per text.

        L is the number of terms of the longest text, at least 1.
        """
        rows = [self._encode(text, max_length) for text in texts]
        longest = max([1, *(len(ids) for ids, _ in rows)])
        terms = np.zeros((len(rows), longest), np.int64)
        weights = np.zeros((len(rows), longest), np.float32)
        for row, (ids, values) in enumerate(rows):
            terms[row, : len(ids)] = ids
            weights[row, : len(ids)] = values
        return terms, weights

    def _encode(self, text: str, max_length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        counts = Counter(number for term in self.ngrams(text) if (number := self.ids.get(term)))
        ids = np.array(sorted(counts), np.int64)
        values = (1 + np.log([counts[number] for number in ids.tolist()])) * self.idf[ids]
        if len(ids) > max_length:
            heaviest = np.sort(np.argsort(-values, kind="stable")[:max_length])
            ids, values = ids[heaviest], values[heaviest]
        return ids, values / (np.linalg.norm(values) or 1.0)
