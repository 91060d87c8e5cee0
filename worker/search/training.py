"""The training of a job: one method and its source-only baseline, or a search."""

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from worker.data.sampling import num_steps
from worker.search.remote_trials import TrialScheduler
from worker.search.results import table
from worker.search.successive_halving import search
from worker.training.loop import TRAINING_SPAN
from worker.training.trials import TrainingOutcome, TrialRunner

SOURCE_ONLY_STEP_COST = 0.5
"""What a step on the source alone takes of the time of one on both domains, for the job's progress."""


def train(trials: TrialRunner, params: AlgorithmParams, scheduler: TrialScheduler) -> TrainingOutcome:
    """Train the method and its source-only baseline, or run the search."""
    if isinstance(params, AutoParams):
        result = search(trials, params, TRAINING_SPAN, scheduler)
        best = result.chosen
        chosen = best.trial if best and best.trial else result.reference
        return TrainingOutcome(chosen, result.reference, table(params, result), best.params if best else params, result.others)
    if not params.needs_target:
        trials.runtime.reporter.enter_phase("training")
        return TrainingOutcome(trials.run(params.algorithm, params, TRAINING_SPAN), None, [], params)
    baseline_cost = SOURCE_ONLY_STEP_COST * trials.baseline_steps(params)
    method_cost = num_steps(params, trials.data.rows(params))
    share = 0.5 if params.plain_kind else baseline_cost / (baseline_cost + method_cost)
    for_baseline, for_method = TRAINING_SPAN.split(share)
    baseline = trials.run_baseline(params, for_baseline)
    trials.runtime.reporter.enter_phase("training", for_method.start)
    start = baseline.weights if params.needs_trained_network else None
    trial = trials.run(params.algorithm, params, for_method, start=start)
    return TrainingOutcome(trial, baseline, [], params)
