"""The preparation of a training: the data of a job, and the runner that trains networks on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.prepared_data import prepare_data
from worker.data.training_setup import TrainingSetup, choose_device, make_network, make_plain_network, share_gpu
from worker.distributed.processes import Distributed, distributed_session
from worker.protocol.progress import StopRequested
from worker.training.checkpoints import Checkpoints
from worker.training.feature_cache import cache_features
from worker.training.mixed_precision import decide_precision
from worker.training.runtime import NetworkFactory, TrainingRuntime
from worker.training.trials import TrialRunner


@contextmanager
def training_session(context: AttemptContext) -> Iterator[tuple[TrainingSetup, TrialRunner]]:
    """Prepare the trials of an attempt, from its last checkpoint if there is one; work with the other ranks inside the block.

    Raise StopRequested, BadData.
    """
    context.reporter.enter_phase("reading")
    device = choose_device(context.settings.device)
    share_gpu(device, context.settings.jobs_per_gpu)
    with distributed_session(device) as distributed:
        setup, trials = prepare_trials(context, device, distributed)
        if context.job.checkpoint is not None:
            trials.resume(context.job.checkpoint)
        yield setup, trials


def prepare_trials(context: AttemptContext, device: torch.device, distributed: Distributed) -> tuple[TrainingSetup, TrialRunner]:
    """Read the data and fix everything that training needs. Raise StopRequested, BadData."""
    if context.settings.train_threads:
        torch.set_num_threads(context.settings.train_threads)
    setup, data = prepare_data(context, device, cache_features)
    runtime = _runtime(context, device, distributed)
    factory = NetworkFactory(
        classes=len(setup.classes),
        build_initial=partial(make_network, setup),
        build_untrained=partial(networks.build, setup.network, setup.preprocessing, setup.specs, len(setup.classes)),
        build_plain=partial(make_plain_network, setup, len(data.source.domain_names) if data.source else 0),
    )
    decided = context.training_job.training_precision or decide_precision(setup.params, device, factory.untrained)
    is_bfloat16, should_stop = distributed.broadcast_from_rank_zero(decided == "bfloat16", runtime.reporter.should_stop)
    if should_stop:
        raise StopRequested
    return setup, TrialRunner(factory, data, runtime, "bfloat16" if is_bfloat16 else "float32")


def _runtime(context: AttemptContext, device: torch.device, distributed: Distributed) -> TrainingRuntime:
    checkpoints = Checkpoints(context.storage, context.storage_folder, context.folder, context.digest)
    return TrainingRuntime(device, context.reporter, checkpoints, context.settings.checkpoint_seconds, distributed)
