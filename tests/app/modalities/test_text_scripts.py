"""Texts in scripts without spaces, with combining marks and with emoji."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from app.modalities import MODALITIES
from app.modalities.base import Chunk, DatasetFile
from app.networks.mlp import MlpParams
from app.preprocessing.tfidf import TfidfVectorizer
from app.preprocessing.words import ngrams
from tests.support.dataset_reading import checked

TEXT = MODALITIES["text"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Good, very GOOD", ["good", "very", "good", "good very", "very good"]),
        ("质量好\uff0c不错", ["质", "量", "好", "不", "错", "质量", "量好", "不错"]),
        ("买iPhone好", ["买", "iphone", "好", "买 iphone", "iphone 好"]),
        ("हिन्दी में", ["हिन्दी", "में", "हिन्दी में"]),
        ("العَرَبِيَّة", ["العَرَبِيَّة"]),
        ("ถูกมาก", ["ถู", "ก", "ม", "า", "ก", "ถูก", "กม", "มา", "าก"]),
        ("한국어 글", ["한국어", "글", "한국어 글"]),
        ("ok 👍🏽🇫🇷", ["ok", "👍🏽", "🇫🇷", "ok 👍🏽", "👍🏽 🇫🇷"]),
        ("👨‍👩‍👧❤️", ["👨‍👩‍👧", "❤️", "👨‍👩‍👧 ❤️"]),
        ("Don\u2019t, l\u2019été", ["don't", "l'été", "don't l'été"]),
    ],
)
def test_terms_of_a_text(text: str, terms: list[str]) -> None:
    assert ngrams(text) == terms


@pytest.mark.parametrize("text", ["Très bon café", "İstanbul", "한국어", "ガギグ", "Việt Nam"])
def test_composed_and_decomposed_texts_have_the_same_terms(text: str) -> None:
    assert ngrams(unicodedata.normalize("NFD", text)) == ngrams(unicodedata.normalize("NFC", text))


def test_vocabulary_without_a_version_is_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"terms": ["good movie", "质量很好"], "idf": [1.0, 1.0]}))
    terms, _ = TfidfVectorizer(path).encode(["good 😀 movie", "质量很好"], 10)
    assert terms.tolist() == [[1], [2]]


def accuracy(folder: Path, source: DatasetFile, evaluation: DatasetFile) -> float:
    """Return the accuracy of logistic regression on the encoded texts."""
    preprocessing = TEXT.fit(TEXT.chunks(source), (), MlpParams(), None, folder)
    encode = TEXT.encoder(preprocessing, folder)

    def dense(chunk: Chunk) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        encoded = encode(chunk.inputs)
        rows = np.zeros((chunk.rows, preprocessing.model_dump()["vocabulary_size"]), np.float32)
        np.put_along_axis(rows, encoded["terms"], encoded["weights"], axis=1)
        return rows

    train, test = next(TEXT.chunks(source)), next(TEXT.chunks(evaluation))
    return float(LogisticRegression(C=10).fit(dense(train), train.labels).score(dense(test), test.labels))


@pytest.mark.parametrize("case", ["text-chinese", "text-nfd"])
def test_known_cases_reach_the_accuracy_of_plain_texts(tmp_path: Path, shared_cases: Path, case: str) -> None:
    source, evaluation = (checked(shared_cases / case / f"{name}.jsonl", "text", "jsonl") for name in ("source", "evaluation"))
    assert accuracy(tmp_path, source, evaluation) > 0.95
