"""The terms that two text datasets share, from bounded statistics in their profiles.

The profile keeps hashes of the most frequent words, so that it contains none of the texts. Texts of one language share most of
them, whatever their subject. Another language, script or spelling leaves few, and then a model that learned terms is at chance.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

from app.formats.data_warnings import DataWarning
from app.preprocessing import words

KEPT = 256
MAX_TEXTS = 5000
"""Texts that are counted, the first ones."""
MAX_CHARACTERS = 2000
"""Characters of each text that are counted."""
MIN_SHARED = 0.25
MIN_TERMS = 20
"""With fewer words that come twice, the texts repeat hardly any."""


class FrequentTerms:
    """Document frequencies of the words of the first texts of a dataset."""

    def __init__(self) -> None:
        self._texts = 0
        self._counts: Counter[str] = Counter()

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            if self._texts >= MAX_TEXTS:
                return
            self._texts += 1
            self._counts.update({term for term in words.ngrams(text[:MAX_CHARACTERS]) if " " not in term})

    def as_details(self) -> dict[str, Any]:
        """Return hashes of the most frequent words that come at least twice, for the profile."""
        frequent = sorted(self._counts, key=lambda term: (-self._counts[term], term))[:KEPT]
        return {"frequent_terms": [crc32(term.encode()) for term in frequent if self._counts[term] > 1]}


def compare(source: Mapping[str, Any], other: Mapping[str, Any], role: str) -> list[DataWarning]:
    """Return a warning if the profiles show that the other dataset shares few terms with the source."""
    if "frequent_terms" not in source or "frequent_terms" not in other:  # uploads of earlier releases
        return []
    own, terms = set(source["frequent_terms"]), set(other["frequent_terms"])
    if min(len(own), len(terms)) < MIN_TERMS:
        return []
    share = len(own & terms) / min(len(own), len(terms))
    if share >= MIN_SHARED:
        return []
    message = (
        f"The {role} has {share:.0%} of the frequent terms of the source. A model that learns terms is then hardly better than "
        "chance. Check that both have the same language and spelling, or use a multilingual pretrained encoder."
    )
    return [DataWarning("few_shared_terms", message, f"/{role}")]
