"""The search for a method, by successive halving. Jamieson and Talwalkar, AISTATS 2016, https://arxiv.org/abs/1502.07943

Every candidate is trained for a third of its steps, the better half of them again and to the end: a schedule over the
fraction of a run cannot be prolonged. All chosen networks of both rounds are in the pool, and what the source alone gives; the
validator's score decides, among those that still know the source.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from worker.batches import planned_steps
from worker.data import Data
from worker.reporter import BadParameters
from worker.trials import Trial, Trials, Weights

SHORT = 1 / 3
HALVED = 3
"""The fewest trials of which some are worth being short."""
FORGOTTEN = 0.05
"""How much accuracy on the source a network may have lost to be chosen, or two standard errors if that is more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the search's table: what was tried, in which round, and what came of it, or why nothing did."""

    params: AlgorithmParams
    round: int
    trial: Trial | None
    error: str | None = None


def search(trials: Trials, params: AutoParams, span: tuple[float, float]) -> tuple[Trial, Entry | None, list[Entry]]:
    """What the source alone gives, the best entry if one is better, and all of them."""
    rounds = plan(params, trials.data)
    shares = iter(_spans(span, len(rounds.first) + rounds.second + 1))
    steps = max(method.minimum_steps for method in params.methods)
    reference = trials.reference(params.model_copy(update={"minimum_steps": steps}), next(shares))
    entries: list[Entry] = []

    def attempt(candidates: list[AlgorithmParams], number: int, *, short: bool) -> list[Entry]:
        found = []
        for place, candidate in enumerate(candidates):
            if not _is_spent(params, entries):
                name = f"{number}-{place}-{candidate.algorithm}"
                found.append(_attempt(trials, candidate, number, name, next(shares), reference, short=short))
                entries.append(found[-1])
        return found

    first = attempt(rounds.first, 1, short=rounds.second > 0)
    better = sorted((entry for entry in first if entry.trial), key=lambda entry: -_score(entry.trial, params.validator))
    attempt([entry.params for entry in better[: rounds.second]], 2, short=False)
    return reference, _best(entries, reference, params.validator, len(trials.data.held_out)), entries


@dataclass(frozen=True, slots=True)
class Plan:
    """The candidates of the first round, and how many of them come into the second; where none do, the first is no short one."""

    first: list[AlgorithmParams]
    second: int


def plan(params: AutoParams, data: Data) -> Plan:
    """What the budget allows; of equal candidates one."""
    methods = _distinct(params.methods, data)
    most = (params.budget and params.budget.trials) or 2 * len(methods)
    if len(methods) == 1 or most < HALVED:
        return Plan(methods[:most], 0)
    count = min(len(methods), math.ceil(most * 2 / 3))
    return Plan(methods[:count], min(math.ceil(count / 2), most - count))


def _distinct(methods: list[AlgorithmParams], data: Data) -> list[AlgorithmParams]:
    """Without repetitions, which those are that differ only in changes of pictures where there are none."""
    is_picture = any("pixels" in examples.inputs for examples in (data.source, data.target) if examples)
    same = {} if is_picture else {"augmentation": "none", "augmented": "source"}
    seen: dict[str, AlgorithmParams] = {}
    for method in methods:
        seen.setdefault(method.model_copy(update=same).model_dump_json(), method)
    return list(seen.values())


def _spans(span: tuple[float, float], parts: int) -> Iterator[tuple[float, float]]:
    width = (span[1] - span[0]) / parts
    for part in range(parts):
        yield span[0] + part * width, span[0] + (part + 1) * width


def _is_spent(params: AutoParams, entries: list[Entry]) -> bool:
    """A budget of minutes is spent at the earliest after one trial; those of earlier attempts of the job count."""
    if params.budget is None:
        return False
    if params.budget.trials is not None:
        return len(entries) >= params.budget.trials
    return sum(entry.trial.seconds for entry in entries if entry.trial) >= 60 * (params.budget.minutes or 0)


def _attempt(
    trials: Trials,
    params: AlgorithmParams,
    number: int,
    name: str,
    span: tuple[float, float],
    reference: Trial,
    *,
    short: bool,
) -> Entry:
    start: Weights | None = reference.weights if params.starts_trained else None
    steps = max(1, int(SHORT * planned_steps(params, trials.data.rows(params)))) if short else None
    try:
        return Entry(params, number, trials.run(name, params, span, start=start, steps=steps, prefix=f"{name}_"))
    except BadParameters as error:  # a method may not fit the network, or diverge: the others go on
        return Entry(params, number, None, str(error))


def _score(trial: Trial | None, validator: str) -> float:
    score = trial.scores[validator] if trial else math.nan
    return -math.inf if math.isnan(score) else score


def _best(entries: list[Entry], reference: Trial, validator: str, held_out: int) -> Entry | None:
    """Of those that know the source almost as well as the reference and score higher than it; of equals the latest."""
    known = reference.scores.get("source_accuracy", math.nan)
    allowed = max(FORGOTTEN, 2 * math.sqrt(known * (1 - known) / held_out)) if held_out and not math.isnan(known) else math.inf
    able = [entry for entry in entries if entry.trial and not entry.trial.scores["source_accuracy"] < known - allowed]
    best = max(reversed(able), key=lambda entry: _score(entry.trial, validator), default=None)
    return best if best and _score(best.trial, validator) > _score(reference, validator) else None


def table(entries: list[Entry], best: Entry | None) -> list[dict[str, Any]]:
    """The entries as JSON, in the order they were tried."""
    return [_line(entry, entry is best) for entry in entries]


def _line(entry: Entry, chosen: bool) -> dict[str, Any]:
    line = {"params": entry.params.model_dump(mode="json"), "round": entry.round, "chosen": chosen, "error": entry.error}
    if entry.trial is None:
        return line
    scores = {name: None if math.isnan(score) else score for name, score in entry.trial.scores.items()}
    return line | {"steps": entry.trial.steps, "kept_step": entry.trial.step, "scores": scores}
