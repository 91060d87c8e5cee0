"""The search for a method, by successive halving. Jamieson and Talwalkar, AISTATS 2016, https://arxiv.org/abs/1502.07943

Every candidate is trained for a third of its steps, the better half of them again and to the end: a schedule over the
fraction of a run cannot be prolonged. All chosen networks of both rounds are in the pool, and what the source alone gives; the
validator's score decides, among those that still know the source.

Other workers may take trials (`worker.search.remote_trials`). Who runs a trial, and when, changes nothing of what is found,
unless the budget
is one of minutes.
"""

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from worker.data.batches import num_steps
from worker.data.splits import DomainData
from worker.evaluation.statistics import binomial_standard_error
from worker.protocol.progress import BadParameters
from worker.search.remote_trials import LocalOnly, PlannedTrial, TrialOwner, TrialScheduler
from worker.training.trials import Trial, TrialRunner, source_params

FIRST_RUNG_FRACTION = 1 / 3
MIN_TRIALS_TO_HALVE = 3
"""The fewest trials of which some are worth being short."""
MAX_SOURCE_ACCURACY_DROP = 0.05
"""How much accuracy on the source a network may have lost to be chosen, or two standard errors if that is more."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A line of the search's table: what was tried, and what came of it, or why nothing did."""

    planned: PlannedTrial
    trial: Trial | None
    error: str | None = None

    @property
    def params(self) -> AlgorithmParams:
        return self.planned.params

    @property
    def round(self) -> int:
        return self.planned.round


def search(
    trials: TrialRunner, params: AutoParams, span: tuple[float, float], scheduler: TrialScheduler | None = None
) -> tuple[Trial, TrialRecord | None, list[TrialRecord]]:
    """What the source alone gives, the best entry if one is better, and all of them, by round and place.

    Raises Stopped, and BadParameters where the source alone cannot be trained.
    """
    rounds = plan(params, trials.data)
    found = Search(trials, params, scheduler or LocalOnly(), _spans(span, len(rounds.first_round) + rounds.second_round_size + 1))
    first = [
        found.plan_trial(1, place, method, short=rounds.second_round_size > 0) for place, method in enumerate(rounds.first_round)
    ]
    reference = found.run_baseline(first)
    found.run_round(first, reference)
    better = sorted((entry for entry in found.records if entry.trial), key=lambda entry: -_score(entry.trial, params.validator))
    found.run_round(
        [found.plan_trial(2, entry.planned.position, entry.params) for entry in better[: rounds.second_round_size]], reference
    )
    return reference, _best(found.records, reference, params.validator, len(trials.data.held_out)), found.records


@dataclass
class Search:
    """One search while it goes on. `spans` are the parts of the job's progress for the trials that are left, in order."""

    trials: TrialRunner
    params: AutoParams
    scheduler: TrialScheduler
    spans: list[tuple[float, float]]
    records: list[TrialRecord] = field(default_factory=list)

    def plan_trial(self, number: int, place: int, params: AlgorithmParams, *, short: bool = False) -> PlannedTrial:
        steps = max(1, int(FIRST_RUNG_FRACTION * num_steps(params, self.trials.data.rows(params)))) if short else None
        return PlannedTrial(number, place, params, steps)

    def run_baseline(self, first: list[PlannedTrial]) -> Trial:
        """What the source alone gives. Other workers may begin meanwhile what does not start from it."""
        self.scheduler.enqueue([order for order in first if not order.params.needs_trained_network], None)
        steps = max(method.min_steps for method in self.params.methods)
        whole = any(order.params.needs_trained_network for order in first)
        return self.trials.run_baseline(self.params.model_copy(update={"min_steps": steps}), self.spans.pop(0), whole=whole)

    def run_round(self, orders: list[PlannedTrial], reference: Trial) -> None:
        """Try these, unless the budget is spent before one begins. The one that this job was interrupted in goes first."""
        self.scheduler.enqueue(orders, reference.weights)
        left = sorted(orders, key=lambda order: not self.trials.is_interrupted(order.name))
        while left:
            order = self._next(left)
            left.remove(order)
            if self.trials.is_finished(order.name) or not self._is_spent():
                self.records.append(self._run_one(order, reference))
        self.records.sort(key=lambda entry: (entry.round, entry.planned.position))

    def _next(self, left: list[PlannedTrial]) -> PlannedTrial:
        """The first that is known already, or that no other worker runs.

        When others train them all, trials are recalled whose workers are still getting ready; then what has ended is made safe,
        and the others are waited for.
        """
        known = next((order for order in left if self.trials.is_finished(order.name)), None)
        if known is not None:
            return known
        is_safe = False
        while True:
            for recall, order in product((False, True), left):
                if self.scheduler.claim(order.name, recall=recall) is not TrialOwner.REMOTE:
                    return order
            if not is_safe:
                self.trials.save()
                is_safe = True
            begin, end = self.spans[0]
            self.scheduler.wait(begin, end - begin)

    def _run_one(self, order: PlannedTrial, reference: Trial) -> TrialRecord:
        start = reference.weights if order.params.needs_trained_network else None
        span, prefix = self.spans.pop(0), f"{order.name}_"
        try:
            return TrialRecord(
                order, self.trials.run(order.name, order.params, span, start=start, steps=order.steps, metric_prefix=prefix)
            )
        except BadParameters as error:  # a method may not fit the network, or diverge: the others go on
            return TrialRecord(order, None, str(error))

    def _is_spent(self) -> bool:
        """A budget of minutes is spent at the earliest after one trial; those of earlier attempts of the job count."""
        budget = self.params.budget
        if budget is None:
            return False
        if budget.trials is not None:
            return len(self.records) >= budget.trials
        return sum(entry.trial.seconds for entry in self.records if entry.trial) >= 60 * (budget.minutes or 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The candidates of the first round, and how many of them come into the second; where none do, the first is no short one."""

    first_round: list[AlgorithmParams]
    second_round_size: int


def plan(params: AutoParams, data: DomainData) -> Plan:
    """What the budget allows; of equal candidates one."""
    methods = _distinct(params.methods, data)
    most = (params.budget and params.budget.trials) or 2 * len(methods)
    if len(methods) == 1 or most < MIN_TRIALS_TO_HALVE:
        return Plan(methods[:most], 0)
    count = min(len(methods), math.ceil(most * 2 / 3))
    return Plan(methods[:count], min(math.ceil(count / 2), most - count))


def _distinct(methods: list[AlgorithmParams], data: DomainData) -> list[AlgorithmParams]:
    """Without repetitions, which those are that differ only in changes of pictures where there are none."""
    has_images = any(examples.augmentable for examples in (data.source, data.target) if examples)
    same = {} if has_images else {"augmentation": "none", "augment_domains": "source"}
    seen: dict[str, AlgorithmParams] = {}
    for method in methods:
        seen.setdefault(method.model_copy(update=same).model_dump_json(), method)
    return list(seen.values())


def _spans(span: tuple[float, float], parts: int) -> list[tuple[float, float]]:
    width = (span[1] - span[0]) / parts
    return [(span[0] + part * width, span[0] + (part + 1) * width) for part in range(parts)]


def _score(trial: Trial | None, validator: str) -> float:
    score = trial.scores[validator] if trial else math.nan
    return -math.inf if math.isnan(score) else score


def _best(entries: list[TrialRecord], reference: Trial, validator: str, held_out: int) -> TrialRecord | None:
    """Of those that know the source almost as well as the reference and score higher than it; of equals the latest."""
    known = reference.scores.get("source_accuracy", math.nan)
    allowed = (
        max(MAX_SOURCE_ACCURACY_DROP, 2 * binomial_standard_error(known, held_out))
        if held_out and not math.isnan(known)
        else math.inf
    )
    able = [entry for entry in entries if entry.trial and not entry.trial.scores["source_accuracy"] < known - allowed]
    best = max(reversed(able), key=lambda entry: _score(entry.trial, validator), default=None)
    return best if best and _score(best.trial, validator) > _score(reference, validator) else None


def table(reference: Trial, params: AutoParams, entries: list[TrialRecord], best: TrialRecord | None) -> list[dict[str, Any]]:
    """As JSON what the source alone gives, which is of round 0, and the entries, by round and place."""
    alone = TrialRecord(PlannedTrial(0, 0, source_params(params), reference.steps), reference)
    return [_line(alone, best is None), *(_line(entry, entry is best) for entry in entries)]


def _line(entry: TrialRecord, chosen: bool) -> dict[str, Any]:
    line = {"params": entry.params.model_dump(mode="json"), "round": entry.round, "chosen": chosen, "error": entry.error}
    if entry.trial is None:
        return line
    scores = {name: None if math.isnan(score) else score for name, score in entry.trial.scores.items()}
    return line | {"steps": entry.trial.steps, "selected_step": entry.trial.step, "scores": scores}
