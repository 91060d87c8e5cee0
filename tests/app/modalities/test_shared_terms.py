"""The warning about texts that share few terms."""

import json
import random
from pathlib import Path

import pytest

from app.modalities.base import Profile
from app.modalities.text import Text
from tests.support.factories import write

TEXT = Text()


def vocabulary(seed: int, alphabet: str, size: int = 120) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(alphabet, k=5)) for _ in range(size)]


def profile(folder: Path, name: str, terms: list[str], seed: int = 0) -> Profile:
    generator = random.Random(seed)
    rows = [{"text": " ".join(generator.choices(terms, k=12))} for _ in range(200)]
    path = write(folder, f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    return TEXT.check(path, "jsonl", TEXT.options())


LATIN, CYRILLIC = "abcdefghij", "абвгдежзик"


@pytest.mark.parametrize("alphabet", [LATIN, CYRILLIC])
def test_other_vocabulary_is_reported(tmp_path: Path, alphabet: str) -> None:
    source = profile(tmp_path, "source", vocabulary(1, LATIN))
    other = profile(tmp_path, "target", vocabulary(2, alphabet))
    (warning,) = TEXT.comparison(source, other, "target")
    assert (warning.code, warning.location) == ("few_shared_terms", "/target")


def test_mostly_common_vocabulary_is_not_reported(tmp_path: Path) -> None:
    common, own, others = (vocabulary(seed, LATIN) for seed in (1, 2, 3))
    source = profile(tmp_path, "source", common + own[:80])
    other = profile(tmp_path, "target", common + others[:80], seed=1)
    assert TEXT.comparison(source, other, "target") == []


def test_profile_is_bounded_and_contains_no_text(tmp_path: Path) -> None:
    details = profile(tmp_path, "source", vocabulary(1, LATIN, 2000)).details
    assert len(details["frequent_terms"]) <= 256
    assert all(isinstance(term, int) for term in details["frequent_terms"])


def test_profile_of_an_earlier_release_is_accepted(tmp_path: Path) -> None:
    source = profile(tmp_path, "source", vocabulary(1, LATIN))
    earlier = Profile("jsonl", 10, None, {"text": "text"})
    assert TEXT.comparison(source, earlier, "target") == TEXT.comparison(earlier, source, "target") == []
