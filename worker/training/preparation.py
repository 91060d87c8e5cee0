"""The preparation of a training: the data of a job, and the runner that trains networks on it."""

from collections.abc import Callable
from functools import partial

import torch

from app.artifacts import TrainingPrecision
from app.db.tables import JobRow
from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.prepared_data import prepare_data
from worker.data.training_setup import TrainingSetup, make_network
from worker.distributed.processes import Distributed
from worker.networks.base import Network
from worker.protocol.progress import StopRequested
from worker.training.checkpoints import Checkpoints
from worker.training.mixed_precision import decide_precision
from worker.training.trials import TrialRunner


def prepare_trials(context: AttemptContext, distributed: Distributed) -> tuple[TrainingSetup, TrialRunner]:
    """Read the data and fix everything that training needs. Raise StopRequested, BadData."""
    settings, storage, reporter = context.settings, context.storage, context.reporter
    if settings.train_threads:
        torch.set_num_threads(settings.train_threads)
    prepared = prepare_data(context)
    setup = prepared.setup
    if any(distributed.broadcast_from_rank_zero(reporter.should_stop)):
        raise StopRequested
    build_untrained = partial(networks.build, setup.network, setup.preprocessing, setup.specs, len(setup.classes))
    trials = TrialRunner(
        build_initial=lambda: make_network(setup, prepared.inputs, storage),
        build_untrained=build_untrained,
        data=prepared.domains,
        classes=len(setup.classes),
        device=setup.device,
        reporter=reporter,
        checkpoints=Checkpoints(storage, context.storage_folder, context.folder, context.digest),
        checkpoint_seconds=settings.checkpoint_seconds,
        precision=_training_precision(context.training_job, setup, build_untrained, distributed),
        distributed=distributed,
    )
    return setup, trials


def _training_precision(
    job: JobRow, setup: TrainingSetup, build: Callable[[], Network], distributed: Distributed
) -> TrainingPrecision:
    """Return the precision that an earlier attempt or the search has decided on; decide if there is none."""
    decided = job.training_precision or decide_precision(setup.params, setup.device, build)
    (is_bfloat16,) = distributed.broadcast_from_rank_zero(decided == "bfloat16")
    return "bfloat16" if is_bfloat16 else "float32"
