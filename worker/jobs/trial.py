"""A trial that the search of another worker has offered: all is prepared as for the search, and one trial is trained.

A trial depends on nothing but its parameters, the seed and the data, so it gives what it would have given in the search itself.
"""

from pathlib import Path

from app.algorithms.base import parse_params
from app.db.tables import JobRow
from app.schemas.trainer_messages import TrialResult
from app.schemas.trials import TrialSpec
from app.settings import Settings
from app.storage import Storage
from worker.data.training_setup import choose_device
from worker.distributed import data_parallel
from worker.jobs.adaptation import prepare
from worker.protocol.progress import ProgressReporter
from worker.search.remote_trials import TRIAL_FILE


def run(
    job: JobRow, attempt: int, settings: Settings, storage: Storage, folder: Path, reporter: ProgressReporter
) -> TrialResult | None:
    """Run one attempt, from the last checkpoint if there is one; what the trial gave is stored for the search.

    None in a process that only helps another to train. Raises Stopped, BadData, BadParameters, InvalidDataset.
    """
    assert job.parent is not None
    order = TrialSpec.model_validate(job.params)
    with data_parallel.distributed_session(choose_device(settings.device)):
        _, trials = prepare(job.parent, f"jobs/{job.id}/{attempt}", settings, storage, folder, reporter)
        if job.checkpoint is not None:
            trials.resume(job.checkpoint)
        start = trials.checkpoints.read(order.start) if order.start else None
        trial = trials.run(
            order.name, parse_params(order.params), (0.0, 1.0), start=start, steps=order.steps, prefix=f"{order.name}_"
        )
    if not data_parallel.is_rank_zero():
        return None
    trials.checkpoints.put(TRIAL_FILE, trial.state_dict())
    return TrialResult(metrics={"steps": trial.steps, "selected_step": trial.step})
