"""A trial of another worker's search: the same preparation, and one trained trial.

A trial depends only on its parameters, the seed and the data, so its result is the same as in the search itself.
"""

from app.algorithms.base import parse_params
from app.job_types.trial import TrialResult
from app.schemas.trials import TrialSpec
from worker.data.attempt_context import AttemptContext
from worker.protocol.progress_span import ProgressSpan
from worker.search.remote_trials import TRIAL_FILE
from worker.training.preparation import training_session


def run(context: AttemptContext) -> TrialResult | None:
    """Run one attempt, from the last checkpoint if there is one, and store the trained network for the search.

    Return None in a process of another rank than zero. Raise StopRequested, BadData, BadParameters, InvalidDataset.
    """
    spec = TrialSpec.model_validate(context.job.params)
    with training_session(context) as (_, trials):
        context.reporter.enter_phase("training")
        start = trials.runtime.checkpoints.read(spec.start) if spec.start else None
        params, prefix = parse_params(spec.params), f"{spec.name}_"
        trial = trials.run(spec.name, params, ProgressSpan(), start=start, steps=spec.steps, metric_prefix=prefix)
    if not trials.runtime.distributed.is_rank_zero:
        return None
    trials.runtime.checkpoints.put(TRIAL_FILE, trial.state_dict())
    return TrialResult(metrics={"steps": trial.steps, "selected_step": trial.step})
