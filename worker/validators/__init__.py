"""Validators: pure functions of the evidence. The folder is the registry, a module's name its name in `app.validators`.

Each module has `score(evidence) -> float`, higher for the better network, nan where it says nothing. One that reads nothing of
the target says so with NEEDS_TARGET = False, one that reads the source with NEEDS_SOURCE = True.
"""

from collections.abc import Callable
from importlib import import_module
from math import nan

from app.validators import VALIDATORS
from worker.evaluation.outputs import ModelOutputs

Validator = Callable[[ModelOutputs], float]


def load(name: str) -> Validator:
    """The score of this validator; nan where the evidence lacks what it needs."""
    module = import_module(f"{__name__}.{name}")

    def score(evidence: ModelOutputs) -> float:
        enough_source = len(evidence.source_logits) > 1 or not getattr(module, "NEEDS_SOURCE", False)
        enough_target = len(evidence.target_logits) > 1 or not getattr(module, "NEEDS_TARGET", True)
        return float(module.score(evidence)) if enough_source and enough_target else nan

    return score


def scores(outputs: ModelOutputs) -> dict[str, float]:
    """Every validator's score."""
    return {name: load(name)(outputs) for name in VALIDATORS}
