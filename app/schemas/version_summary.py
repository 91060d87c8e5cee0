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
    reason = _first_reason(evidence, helped)
    if helped == "no":
        return f"Adaptation seems to hurt: {reason}."
    if differing and evidence.get("disagreements", 0) < _required(evidence):
        return f"{differing.removesuffix('.')}, too few to compare them."
    return f"It is unclear whether adaptation helps: {reason}."


def _served(metrics: Metrics) -> str:
    registered = metrics.get("registered")
    if registered is None:
        return "The trained model is served."
    return f"The {'adapted' if registered == 'adapted' else 'source-only'} model is served."


def _disagreement(evidence: Metrics) -> str:
    if "rows" not in evidence or "disagreements" not in evidence:
        return ""
    return f"The adapted and the source-only model disagree on {evidence['disagreements']} of {evidence['rows']} rows."


def _required(evidence: Metrics) -> float:
    """Return the number of disagreements that the verdict asks for, 0 if it has no such rule."""
    rules = evidence.get("fired_rules", [])
    conditions = [condition for rule in rules for condition in rule.get("conditions", [])]
    return max(
        (one["threshold"] for one in conditions if one["measure"] == "disagreements" and one["comparison"] == "<"), default=0
    )


def _first_reason(evidence: Metrics, effect: str) -> str:
    rules = evidence.get("fired_rules", [])
    return next((rule["reason"] for rule in rules if rule.get("effect") == effect), "the measurements contradict one another")


def _gain(evidence: Metrics) -> str:
    gain = evidence.get("gain")
    if gain is None:
        return "all checks speak for the adapted model"
    return f"the expected accuracy is {100 * gain:+.0f} percentage points against the source-only model"


def _interval(low: float, high: float) -> str:
    return f" (90 % interval {100 * low:.0f}-{100 * high:.0f} %)"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
