"""Validators: pure functions of the evidence. The folder is the registry, a module's name its name in `app.validators`.

Each module has `score(evidence) -> float`, higher for the better network, nan where it says nothing.
"""

from collections.abc import Callable
from importlib import import_module
from math import nan

from app.validators import VALIDATORS
from worker.evidence import Evidence

Validator = Callable[[Evidence], float]


def load(name: str) -> Validator:
    """The function of this validator."""
    validator: Validator = import_module(f"{__name__}.{name}").score
    return validator


def scores(evidence: Evidence) -> dict[str, float]:
    """Every validator's score; nan where there is too little to score."""
    return {name: _score(load(name), evidence) for name in VALIDATORS}


def _score(validator: Validator, evidence: Evidence) -> float:
    sized = len(evidence.target_logits) > 1 and len(evidence.source_logits) > 1
    return float(validator(evidence)) if sized else nan
