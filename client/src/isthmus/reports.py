"""The HTML of a version in notebooks: its summary, the accuracy interval as a bar, warnings."""

from collections.abc import Mapping
from html import escape
from typing import Any


def version_html(reference: str, version: Mapping[str, Any]) -> str:
    """Return a short report without scripts and links to other hosts."""
    metrics = version.get("metrics", {})
    parts = [f"<h4>{escape(reference)}</h4>", *(f"<p>{escape(sentence)}</p>" for sentence in version.get("summary", ()))]
    if estimate := metrics.get("target_accuracy_estimate"):
        parts.append(_interval(estimate, metrics.get("target_accuracy")))
    warnings = [f"<li>{escape(warning['message'])}</li>" for warning in metrics.get("warnings", ())]
    return "".join(parts) + (f"<p>Warnings:</p><ul>{''.join(warnings)}</ul>" if warnings else "")


def _interval(estimate: Mapping[str, float], measured: float | None) -> str:
    low, high, value = (100 * estimate[name] for name in ("low", "high", "value"))
    dot = "" if measured is None else f'<circle cx="{2 * 100 * measured:.1f}" cy="8" r="4" fill="#c2410c"/>'
    return (
        '<svg width="200" height="16" role="img" aria-label="accuracy interval">'
        '<rect width="200" height="4" y="6" fill="#d4d4d8"/>'
        f'<rect x="{2 * low:.1f}" width="{2 * (high - low):.1f}" height="8" y="4" fill="#2563eb" opacity="0.5"/>'
        f'<rect x="{2 * value - 1:.1f}" width="2" height="16" fill="#1e3a8a"/>{dot}</svg>'
    )
