"""The report of a version as one HTML file that needs nothing else: no scripts, no other files, no other hosts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from app.schemas.models import VersionOut

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
.summary { font-size: 1.15rem; }
svg { width: 14rem; height: .9rem; } .axis { fill: #8885; } .range { fill: #0b6e75; opacity: .6; }
.mark { fill: currentColor; } .warning { border-left: .3rem solid #d97706; padding-left: .6rem; } code { font-size: .9em; }
"""
VERDICTS = {
    "yes": "Adaptation seems to help.",
    "no": "The version does not seem to be better than the source-only model.",
    "unsure": "Labels are needed to decide whether adaptation helps.",
}
Metrics = Mapping[str, Any]
MOST_ITEMS = 100
"""Classes in one part of the report; of more, those with the largest changes or the lowest recall."""
Item = TypeVar("Item")
Accuracy = tuple[str, float, float | None, float | None]


def render(version: VersionOut) -> str:
    """Return the HTML of the report."""
    metrics: Metrics = version.metrics
    title = f"{version.model} version {version.number}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="summary">{escape(sentence)}</p>' for sentence in version.summary),
        _warnings(metrics),
        _section("Accuracy", _intervals([*_accuracies(metrics), *_measured(version)])),
        _verdict(metrics),
        _section("Shares of the classes in the target", _intervals(_shares(metrics))),
        _section("Recall", _intervals(_recalls(metrics, version.classes))),
        _confusion(metrics, version.classes),
        _section("Lineage", _facts(_lineage(version))),
        _section("Files", _facts((file.name, f"SHA-256 {file.digest}") for file in version.artifacts)),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _warnings(metrics: Metrics) -> str:
    items = (
        f'<p class="warning"><code>{escape(one["code"])}</code> {escape(one["message"])}</p>'
        for one in metrics.get("warnings", [])
    )
    return _section("Warnings", "".join(items))


def _measured(version: VersionOut) -> list[Accuracy]:
    """Return what labels measured, beside the estimates."""
    labels, evaluation = version.measured.labels, version.measured.evaluation
    known: list[Accuracy] = []
    if labels is not None and labels.accuracy is not None:
        one = labels.accuracy
        known.append((f"Target, measured with {labels.labels} labels", one.value, one.low, one.high))
    if evaluation is not None:
        one = evaluation.accuracy
        known.append((f"Measured on {evaluation.rows} labelled rows", one.value, one.low, one.high))
    return known


def _accuracies(metrics: Metrics) -> list[Accuracy]:
    known: list[Accuracy] = []
    for key, name in (("target", "Target, measured"), ("source", "Source, held out")):
        if (value := metrics.get(f"{key}_accuracy")) is not None:
            low, high = metrics.get(f"{key}_intervals", {}).get("accuracy", (None, None))
            known.append((name, value, low, high))
    if (estimate := metrics.get("target_accuracy_estimate")) is not None:
        known.insert(0, ("Target, expected", estimate["value"], estimate["low"], estimate["high"]))
    left_out = metrics.get("left_out_sources", [])
    return known + [(f"{one['name']}, when this source is left out", one["accuracy"], None, None) for one in left_out]


def _shares(metrics: Metrics) -> list[Accuracy]:
    classes = metrics.get("class_priors", {}).get("classes", {})
    changed = _first(list(classes.items()), lambda item: -abs(item[1]["target"] - item[1]["source"]))
    return [(name, one["target"], one["low"], one["high"]) for name, one in changed]


def _recalls(metrics: Metrics, classes: Sequence[str]) -> list[Accuracy]:
    by_class = metrics.get("target_classes") or metrics.get("source_classes") or {}
    recalls = ((name, by_class.get(name, {}).get("recall")) for name in classes)
    known: list[Accuracy] = [(name, recall, None, None) for name, recall in recalls if recall is not None]
    return _first(known, lambda one: one[1])


def _first(items: list[Item], key: Callable[[Item], float]) -> list[Item]:
    """Return all items, or the first by the key if there are more than MOST_ITEMS."""
    return items if len(items) <= MOST_ITEMS else sorted(items, key=key)[:MOST_ITEMS]


def _intervals(items: Sequence[Accuracy]) -> str:
    return (
        _table((escape(name), _bar(value, low, high), _figure(value, low, high)) for name, value, low, high in items)
        if items
        else ""
    )


def _bar(value: float, low: float | None, high: float | None) -> str:
    span = (
        ""
        if low is None or high is None
        else f'<rect class="range" x="{100 * low}" y="2" width="{100 * (high - low)}" height="6"/>'
    )
    mark = f'<rect class="mark" x="{100 * value - 0.5}" width="1" height="10"/>'
    axis = '<rect class="axis" y="4" width="100" height="2"/>'
    return f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{axis}{span}{mark}</svg>'


def _figure(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.0%}" if low is None or high is None else f"{value:.0%} ({low:.0%} to {high:.0%})"


def _verdict(metrics: Metrics) -> str:
    verdict = metrics.get("helped")
    if verdict is None:
        return ""
    evidence = metrics.get("helped_evidence", {})
    rows = [
        (name, f"{100 * evidence[key]:+.1f} points") for key, name in (("expected_gain", "Expected gain"),) if key in evidence
    ]
    chances = {
        "probability_of_gain": "Probability of a gain above one point",
        "probability_of_loss": "Probability of such a loss",
    }
    rows += [(name, f"{evidence[key]:.0%}") for key, name in chances.items() if key in evidence]
    return _section("Adapted against source-only", f"<p>{VERDICTS[verdict]}</p>{_table(rows)}")


def _confusion(metrics: Metrics, classes: Sequence[str]) -> str:
    domain = "target" if "target_classes" in metrics else "source"
    matrix, errors = metrics.get(f"{domain}_confusion"), metrics.get(f"{domain}_largest_errors")
    if errors:
        cells = [("True class", "Prediction", "Rows"), *((one["true"], one["predicted"], str(one["count"])) for one in errors)]
        return _section("Most frequent errors", _table(tuple(map(escape, cell)) for cell in cells))
    if not matrix:
        return ""
    head = ("", *(escape(name) for name in classes))
    rows = ((escape(name), *map(str, counts)) for name, counts in zip(classes, matrix, strict=True))
    return _section("Confusion matrix", f"<p>Rows are true classes, columns are predictions.</p>{_table([head, *rows])}")


def _lineage(version: VersionOut) -> Iterable[tuple[str, str]]:
    lineage = version.lineage
    return [
        ("Method", lineage.algorithm),
        ("job", str(lineage.job)),
        *(("source", str(source)) for source in lineage.sources),
        *((name, str(getattr(lineage, name) or "none")) for name in ("target", "evaluation")),
        ("Created", version.created_at.isoformat(timespec="seconds")),
        ("Digest", version.digest),
    ]


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return _table((escape(name), escape(value)) for name, value in facts)


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; the first cell of a row is its header."""
    lines = (f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows)
    return f"<table>{''.join(lines)}</table>"
