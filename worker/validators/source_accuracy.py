"""Accuracy on the held-out source."""

from worker.evidence import Evidence

NEEDS_SOURCE = True
NEEDS_TARGET = False


def score(evidence: Evidence) -> float:
    """Share of the source's examples (n,) whose largest logit is their label's, 0 to 1."""
    return float((evidence.source_logits.argmax(axis=1) == evidence.source_labels).mean())
