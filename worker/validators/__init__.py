"""Validators: pure functions of a network's outputs. The folder is the registry; a module has the validator's name.

Each module defines `score(outputs) -> float`: higher is better, NaN means undefined. A validator that does not read the target
sets NEEDS_TARGET = False; one that reads the source sets NEEDS_SOURCE = True.
"""

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from math import nan

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from app.validators import VALIDATORS
from worker.evaluation.outputs import ModelOutputs

Validator = Callable[[ModelOutputs], float]


def load(name: str) -> Validator:
    """Return the score function of this validator; it returns NaN if the outputs lack the rows it needs."""
    module = import_module(f"{__name__}.{name}")

    def score(outputs: ModelOutputs) -> float:
        enough_source = len(outputs.source_logits) > 1 or not getattr(module, "NEEDS_SOURCE", False)
        enough_target = len(outputs.target_logits) > 1 or not getattr(module, "NEEDS_TARGET", True)
        return float(module.score(outputs)) if enough_source and enough_target else nan

    return score


def scores(outputs: ModelOutputs, names: Iterable[str] = VALIDATORS) -> dict[str, float]:
    """Return the scores of these validators, the same on every machine.

    They compute in one thread: numpy and scikit-learn add in an order that depends on the number of threads, so close clusters
    could differ between workers.
    """
    functions = {name: load(name) for name in names}
    with _thread_pools().limit(limits=1):
        return {name: score(outputs) for name, score in functions.items()}


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the thread pools of all libraries that validators use. To find them takes longer than a score."""
    for name in VALIDATORS:
        load(name)
    return ThreadpoolController()
