"""The search for a method: plain methods, and deep ones by successive halving.

Jamieson and Talwalkar, AISTATS 2016, https://arxiv.org/abs/1502.07943

Plain methods are fitted first, in seconds. Every other candidate is then trained for a fraction of its steps. The better half is
trained again with all steps, because a schedule over the fraction of a run cannot be extended. All models of the job compete
(`worker.search.selection`). A source-only network that is served is trained to the end.

Other workers may run trials (`worker.search.remote_trials`). The result does not depend on the worker or the time of a trial,
except under a budget of minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from worker.data.sampling import num_steps
from worker.data.splits import DomainData
from worker.evaluation.statistics import binomial_standard_error
from worker.protocol.progress import BadParameters
from worker.protocol.progress_span import ProgressSpan
from worker.search.remote_trials import LocalOnly, PlannedTrial, TrialOwner, TrialScheduler
from worker.search.results import SearchResult, TrialRecord
from worker.search.selection import Selection, best_reference, make_selection
from worker.training.trials import BASELINE, Trial, TrialRunner, source_params

FIRST_RUNG_FRACTION = 1 / 4
MIN_TRIALS_TO_HALVE = 3
"""With fewer trials, all are trained with all their steps."""
MAX_SOURCE_ACCURACY_DROP = 0.05
"""The accuracy on the source that the best network may have lost; two standard errors if that is more."""
FULL_BASELINE = f"{BASELINE}_full"


def search(trials: TrialRunner, params: AutoParams, span: ProgressSpan, scheduler: TrialScheduler | None = None) -> SearchResult:
    """Run the search. Raise StopRequested, and BadParameters when the baseline cannot be trained."""
    rounds = plan(params, trials.data)
    running = Search(trials, params, scheduler or LocalOnly(), span, len(rounds.first_round) + rounds.second_round_size + 1)
    is_short = rounds.second_round_size > 0
    first = [running.plan_trial(1, position, method, short=is_short) for position, method in enumerate(rounds.first_round)]
    plain = running.run_plain(len(first))
    baseline = running.run_baseline(first)
    running.run_round(first, baseline)
    selection = make_selection(trials)
    ranked = running.ranked(selection, best_reference([baseline, *_references(plain)]))
    promoted = ranked[: rounds.second_round_size]
    running.run_round([running.plan_trial(2, record.planned.position, record.params) for record in promoted], baseline)
    return running.choose(selection, baseline, plain)


def _references(records: Sequence[TrialRecord]) -> list[Trial]:
    """Return the trials of the methods that learn the source alone."""
    return [record.trial for record in records if record.trial and not record.params.needs_target]


@dataclass
class Search:
    """A running search. `span` is divided into `trial_count` equal parts, of which `started` have been used."""

    trials: TrialRunner
    params: AutoParams
    scheduler: TrialScheduler
    span: ProgressSpan
    trial_count: int
    started: int = 0
    records: list[TrialRecord] = field(default_factory=list)

    def plan_trial(self, number: int, position: int, params: AlgorithmParams, *, short: bool = False) -> PlannedTrial:
        """Return the trial of a candidate in the round of this number."""
        steps = max(1, int(FIRST_RUNG_FRACTION * num_steps(params, self.trials.data.rows(params)))) if short else None
        return PlannedTrial(number, position, params, steps)

    def run_plain(self, first_position: int) -> list[TrialRecord]:
        """Fit the plain candidates that the job permits, and return their records."""
        span = ProgressSpan(self.span.start, self.span.start)
        methods = [method for method in self.params.methods if method.plain_kind and self.trials.permits(method.plain_kind)]
        self.trials.runtime.reporter.enter_phase("plain methods", self.span.start)
        planned = [PlannedTrial(1, first_position + number, method, 1) for number, method in enumerate(methods)]
        return [self._run_in(span, one, None) for one in planned]

    def ranked(self, selection: Selection | None, reference: Trial) -> list[TrialRecord]:
        """Return the records of the first round that did not fail, the most promising first."""
        records = [record for record in self.records if record.trial]
        trials = [record.trial for record in records if record.trial]
        if selection is None:
            return sorted(records, key=lambda record: -_score(record.trial, self.params.validator))
        gains = selection.judged_gains(trials, reference)
        return [record for _, record in sorted(zip(gains, records, strict=True), key=lambda pair: -pair[0])]

    def choose(self, selection: Selection | None, baseline: Trial, plain: list[TrialRecord]) -> SearchResult:
        """Return the result: the candidate with the best expected gain, or the reference, trained to the end."""
        reference = best_reference([baseline, *_references(plain)])
        adapted = [record for record in (*plain, *self.records) if record.trial and record.params.needs_target]
        if selection is None:
            best = _best(adapted, reference, self.params.validator, len(self.trials.data.held_out))
        else:
            trial = selection.best([record.trial for record in adapted if record.trial], reference)
            best = next((record for record in adapted if record.trial is trial), None) if trial else None
        if best is None and reference is baseline:
            reference = baseline = self._finish_baseline(baseline)
        chosen = best or next((record for record in plain if record.trial is reference), None)
        served = best.trial if best and best.trial else reference
        others = selection.outputs_of_others(served, reference) if selection else []
        return SearchResult(reference, chosen, [*self.records, *plain], baseline, others)

    def _finish_baseline(self, baseline: Trial) -> Trial:
        """Return the source-only network, trained with all steps."""
        params = self._baseline_params()
        steps = self.trials.baseline_steps(params, fully_trained=True)
        if baseline.steps >= steps or not self.trials.data.source:
            return baseline
        span = ProgressSpan(self.span.end, self.span.end)
        return self.trials.run(FULL_BASELINE, source_params(params), span, steps=steps, metric_prefix=f"{FULL_BASELINE}_")

    def _baseline_params(self) -> AutoParams:
        return self.params.model_copy(update={"min_steps": max(method.min_steps for method in self.params.methods)})

    def run_baseline(self, first: list[PlannedTrial]) -> Trial:
        """Train the baseline, while other workers may begin trials that do not start from it."""
        self.scheduler.enqueue([planned for planned in first if not planned.params.needs_trained_network], None)
        fully_trained = any(planned.params.needs_trained_network for planned in first)
        return self.trials.run_baseline(self._baseline_params(), self._use_span(), fully_trained=fully_trained)

    def run_round(self, planned: list[PlannedTrial], baseline: Trial) -> None:
        """Run these trials, the interrupted one first; begin none when the budget is spent."""
        self.scheduler.enqueue(planned, baseline.weights)
        remaining = sorted(planned, key=lambda one: not self.trials.is_interrupted(one.name))
        while remaining:
            following = self._next(remaining)
            remaining.remove(following)
            if self.trials.is_finished(following.name) or not self._is_spent():
                self.records.append(self._run_one(following, baseline))
        self.records.sort(key=lambda record: (record.round, record.planned.position))

    def _next(self, remaining: list[PlannedTrial]) -> PlannedTrial:
        """Return the first trial that is finished, or that no other worker runs.

        When others run all of them, take back a trial whose worker has not begun to train. If there is none, store the ended
        trials and wait.
        """
        finished = next((planned for planned in remaining if self.trials.is_finished(planned.name)), None)
        if finished is not None:
            return finished
        is_saved = False
        while True:
            for recall, planned in product((False, True), remaining):
                if self.scheduler.claim(planned.name, recall=recall) is not TrialOwner.REMOTE:
                    return planned
            if not is_saved:
                self.trials.save()
                is_saved = True
            self.scheduler.wait(self.span.sub(self.started, self.trial_count))

    def _run_one(self, planned: PlannedTrial, baseline: Trial) -> TrialRecord:
        span = self._use_span()
        self.trials.runtime.reporter.enter_phase(f"trial {self.started - 1} of {self.trial_count - 1}", span.start)
        return self._run_in(span, planned, baseline)

    def _run_in(self, span: ProgressSpan, planned: PlannedTrial, baseline: Trial | None) -> TrialRecord:
        start = baseline.weights if baseline and planned.params.needs_trained_network else None
        prefix = f"{planned.name}_"
        try:
            trial = self.trials.run(planned.name, planned.params, span, start=start, steps=planned.steps, metric_prefix=prefix)
        except BadParameters as error:  # a method may not fit the network, or diverge; the others continue
            return TrialRecord(planned, None, str(error))
        return TrialRecord(planned, trial)

    def _use_span(self) -> ProgressSpan:
        """Return the next trial's part of the progress."""
        self.started += 1
        return self.span.sub(self.started - 1, self.trial_count)

    def _is_spent(self) -> bool:
        """Return whether the budget is spent; minutes of earlier attempts count, and one trial is always run."""
        budget = self.params.budget
        if budget is None:
            return False
        if budget.trials is not None:
            return len(self.records) >= budget.trials
        return sum(record.trial.seconds for record in self.records if record.trial) >= 60 * (budget.minutes or 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The candidates of the first round and the size of the second; without a second round the first uses all steps."""

    first_round: list[AlgorithmParams]
    second_round_size: int


def plan(params: AutoParams, data: DomainData) -> Plan:
    """Return the rounds of deep methods that the budget allows, without duplicate candidates."""
    methods = _distinct([method for method in params.methods if method.plain_kind is None], data)
    max_trials = (params.budget and params.budget.trials) or 2 * len(methods)
    if len(methods) <= 1 or max_trials < MIN_TRIALS_TO_HALVE:
        return Plan(methods[:max_trials], 0)
    count = min(len(methods), math.ceil(max_trials * 2 / 3))
    return Plan(methods[:count], min(max(1, count // 2), max_trials - count))


def _distinct(methods: list[AlgorithmParams], data: DomainData) -> list[AlgorithmParams]:
    """Return the methods without duplicates; augmentation makes no difference where no input can be augmented."""
    can_augment = any(examples.augmentable for examples in (data.source, data.target) if examples)
    ignored = {} if can_augment else {"augmentation": "none", "augment_domains": "source"}
    distinct: dict[str, AlgorithmParams] = {}
    for method in methods:
        distinct.setdefault(method.model_copy(update=ignored).model_dump_json(), method)
    return list(distinct.values())


def _score(trial: Trial | None, validator: str) -> float:
    score = trial.scores[validator] if trial else math.nan
    return -math.inf if math.isnan(score) else score


def _best(records: list[TrialRecord], baseline: Trial, validator: str, held_out: int) -> TrialRecord | None:
    """Return the record that beats the baseline and keeps its source accuracy; the latest of equals."""
    accuracy = baseline.scores.get("source_accuracy", math.nan)
    allowed = math.inf
    if held_out and not math.isnan(accuracy):
        allowed = max(MAX_SOURCE_ACCURACY_DROP, 2 * binomial_standard_error(accuracy, held_out))
    eligible = [one for one in records if one.trial and not one.trial.scores["source_accuracy"] < accuracy - allowed]
    best = max(reversed(eligible), key=lambda record: _score(record.trial, validator), default=None)
    return best if best and _score(best.trial, validator) > _score(baseline, validator) else None
