"""Tests of the sentences that summarise a version."""

import pytest

from app.schemas.version_summary import summarize

ESTIMATE = {"value": 0.731, "low": 0.512, "high": 0.907}
TOO_FEW = {
    "name": "too_few_disagreements",
    "effect": "unsure",
    "reason": "the networks disagree on too few target rows",
    "conditions": [{"measure": "disagreements", "value": 15, "comparison": "<", "threshold": 25}],
}


def test_unsure_version_names_interval_disagreements_and_served_model() -> None:
    evidence = {"disagreements": 15, "rows": 294, "gain": 0.01, "fired_rules": [TOO_FEW]}
    metrics = {
        "target_accuracy_estimate": ESTIMATE,
        "helped": "unsure",
        "helped_evidence": evidence,
        "registered": "source_only",
    }
    assert summarize(metrics) == [
        "Expected target accuracy: 73 % (90 % interval 51-91 %).",
        "The adapted and the source-only model disagree on 15 of 294 rows, too few to compare them.",
        "The source-only model is served.",
    ]


@pytest.mark.parametrize(("helped", "words"), [("yes", "+8 percentage points"), ("no", "lost more source accuracy")])
def test_verdict_gives_its_reason(helped: str, words: str) -> None:
    rule = {"name": "source_accuracy_lost", "effect": "no", "reason": "the adapted network lost more source accuracy"}
    evidence = {"gain": 0.08, "disagreements": 90, "rows": 300, "fired_rules": [rule] if helped == "no" else []}
    sentences = summarize({"target_accuracy": 0.9, "helped": helped, "helped_evidence": evidence, "registered": "adapted"})
    assert sentences[0] == "Measured target accuracy: 90 %."
    assert words in sentences[1]
    assert sentences[2] == "The adapted model is served."


def test_unknown_accuracy_is_named() -> None:
    assert summarize({})[0].startswith("The target accuracy is unknown")
