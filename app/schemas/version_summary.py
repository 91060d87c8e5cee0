"""The three plain sentences that summarise a version: its accuracy, the comparison with source-only, and what is served.

They follow from the metrics and use only keys that are present, so older versions and versions without a source have them too.
"""

from collections.abc import Mapping
from typing import Any

Metrics = Mapping[str, Any]


def summarize(metrics: Metrics) -> list[str]:
    """Return the sentences."""
    return [_accuracy(metrics), _comparison(metrics), _served(metrics)]


def _accuracy(metrics: Metrics) -> str:
    measured, interval = metrics.get("target_accuracy"), metrics.get("target_intervals", {}).get("accuracy")
    if measured is not None:
        return f"Measured target accuracy: {_percent(measured)}{_interval(*interval) if interval else ''}."
    estimate = metrics.get("target_accuracy_estimate")
    if estimate is None:
        return "The target accuracy is unknown: there is too little data to estimate it."
    return f"Expected target accuracy: {_percent(estimate['value'])}{_interval(estimate['low'], estimate['high'])}."


def _comparison(metrics: Metrics) -> str:
    helped, evidence = metrics.get("helped"), metrics.get("helped_evidence", {})
    if helped is None:
        return "There is no comparison with a source-only model."
    differing = _disagreement(evidence)
    if helped == "yes":
        return f"Adaptation seems to help: {_gain(evidence)}. {differing}".strip()
    if helped == "unsure":
        return f"Labels are needed to decide whether adaptation helps: {_gain(evidence)}. {differing}".strip()
    if metrics.get("registered") == "source_only":
        return f"No adapted model is expected to be better: {_gain(evidence)}. {differing}".strip()
    return f"Adaptation does not seem to help: {_gain(evidence)}. {differing}".strip()


def _served(metrics: Metrics) -> str:
    registered = metrics.get("registered")
    if registered is None:
        return "The trained model is served."
    return f"The {'adapted' if registered == 'adapted' else 'source-only'} model is served."


def _disagreement(evidence: Metrics) -> str:
    if "rows" not in evidence or "disagreements" not in evidence:
        return ""
    return f"The adapted and the source-only model disagree on {evidence['disagreements']} of {evidence['rows']} rows."


def _gain(evidence: Metrics) -> str:
    gain = evidence.get("expected_gain")
    if gain is None:
        return "the evidence is not known"
    return f"the expected accuracy is {100 * gain:+.0f} percentage points against the source-only model"


def _interval(low: float, high: float) -> str:
    return f" (90 % interval {100 * low:.0f}-{100 * high:.0f} %)"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
