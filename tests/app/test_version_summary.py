"""Tests of the sentences that summarise a version."""

import pytest

from app.schemas.version_summary import summarize

ESTIMATE = {"value": 0.731, "low": 0.512, "high": 0.907}


def test_unsure_version_names_interval_disagreements_and_served_model() -> None:
    metrics = {
        "target_accuracy_estimate": ESTIMATE,
        "helped": "unsure",
        "helped_evidence": {"disagreements": 15, "rows": 294, "expected_gain": 0.01},
        "registered": "adapted",
    }
    assert summarize(metrics) == [
        "Expected target accuracy: 73 % (90 % interval 51-91 %).",
        "Labels are needed to decide whether adaptation helps: the expected accuracy is +1 percentage points against the "
        "source-only model. The adapted and the source-only model disagree on 15 of 294 rows.",
        "The adapted model is served.",
    ]


@pytest.mark.parametrize(
    ("helped", "registered", "words"),
    [
        ("yes", "adapted", "seems to help: the expected accuracy is +8 percentage points"),
        ("no", "adapted", "does not seem to help"),
        ("no", "source_only", "No adapted model is expected to be better"),
    ],
)
def test_verdict_gives_its_reason(helped: str, registered: str, words: str) -> None:
    evidence = {"expected_gain": 0.08, "disagreements": 90, "rows": 300}
    sentences = summarize({"target_accuracy": 0.9, "helped": helped, "helped_evidence": evidence, "registered": registered})
    assert sentences[0] == "Measured target accuracy: 90 %."
    assert words in sentences[1]
    assert sentences[2].startswith("The adapted model" if registered == "adapted" else "The source-only model")


def test_unknown_accuracy_is_named() -> None:
    assert summarize({})[0].startswith("The target accuracy is unknown")
