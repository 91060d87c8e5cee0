"""The training loop, the only one."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from app.algorithms.base import AlgorithmParams
from app.artifacts import TrainingPrecision
from worker import validators
from worker.algorithms.base import Algorithm, Terms
from worker.components.augmentation import augment_batch
from worker.components.schedules import inverse_decay
from worker.data.sampling import PairedBatches
from worker.networks.base import Network, divide_batches
from worker.protocol.progress import BadParameters, StopRequested
from worker.protocol.progress_span import ProgressSpan
from worker.training.checkpoint_selection import CheckpointSelector
from worker.training.checkpoints import random_state, restore_random_state
from worker.training.ema import ExponentialMovingAverage
from worker.training.evaluator import Evaluator
from worker.training.running_means import RunningMeans
from worker.training.runtime import TrainingRuntime

TRAINING_SPAN = ProgressSpan(0.0, 0.95)
"""The part of a job's progress for training; reporting, exporting and storing follow."""
REPORTS_PER_RUN = 200
EVALUATIONS_PER_RUN = 20
SOURCE_VALIDATOR, MIXTURE_VALIDATOR = "source_accuracy", "mixval"
VALIDATOR_UNAVAILABLE = (
    "Validator `{}` cannot be computed on this data. The last healthy checkpoint is selected; a search falls back to the "
    "source-only model. Choose another `validator` to change this."
)


class Diverged(BadParameters):
    """The loss is not a finite number."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The settings of a run within its job.

    `span` is its part of the job's progress, and `metric_prefix` precedes the names of its curves. `shared_state` is stored in
    its checkpoints beside its own state.
    """

    precision: TrainingPrecision = "float32"
    span: ProgressSpan = TRAINING_SPAN
    metric_prefix: str = ""
    shared_state: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingRun:
    """One training of one algorithm, and the state that its checkpoints hold.

    `seconds` is the time that earlier attempts took.
    """

    algorithm: Algorithm
    batches: PairedBatches
    evaluator: Evaluator
    runtime: TrainingRuntime
    options: RunOptions = field(default_factory=RunOptions)
    step: int = 0
    means: RunningMeans = field(default_factory=RunningMeans)
    domain_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    selector: CheckpointSelector = field(init=False)
    optimizer: Optimizer = field(init=False)
    average: ExponentialMovingAverage | None = field(init=False)

    def __post_init__(self) -> None:
        self.selector = CheckpointSelector(self.evaluator.source_labels)
        self.optimizer = make_optimizer(self.algorithm)
        self.average = ExponentialMovingAverage(self.algorithm.network, self.params.ema_decay) if self.params.ema_decay else None
        distributed = self.runtime.distributed
        if distributed.world_size > 1:
            divide_batches(self.algorithm, distributed.split_batch, distributed.sync_batch_norm)

    @property
    def progress(self) -> float:
        """The job's progress after the current step."""
        return self.options.span.at(self.step / self.batches.steps)

    @property
    def elapsed(self) -> float:
        """Seconds of training, including those of earlier attempts."""
        return self.seconds + time.monotonic() - self.began

    @property
    def params(self) -> AlgorithmParams:
        return self.algorithm.params

    @property
    def network(self) -> Network:
        """The network that is evaluated and selected: the trained one, or the average of its weights."""
        return self.average.network if self.average else self.algorithm.network

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.elapsed,
            "means": self.means.state_dict(),
            "domain_accuracy": self.domain_accuracy,
            "algorithm": self.algorithm.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "selection": self.selector.state_dict(),
            "random": random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from this state."""
        self.step, self.seconds, self.domain_accuracy = state["step"], state["seconds"], state["domain_accuracy"]
        self.means.load_state_dict(state.get("means", {}))  # checkpoints of earlier releases have none
        self.algorithm.load_state_dict(state["algorithm"])
        if self.average:
            self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.selector.load_state_dict(state["selection"])
        restore_random_state(state["random"])

    def checkpoint(self) -> None:
        """Store and report a checkpoint."""
        if not self.runtime.distributed.is_rank_zero:
            return
        state = self.options.shared_state | {"run": self.state_dict()}
        key = self.runtime.checkpoints.save(f"{self.options.metric_prefix}{self.step}", state)
        self.runtime.reporter.checkpoint(key)


def train(run: TrainingRun) -> None:
    """Train to the end and load the selected checkpoint (see `worker.training.checkpoint_selection`) into the network.

    Raise StopRequested, after storing a checkpoint, when a stop was requested; raise Diverged when the loss is not finite. A run
    that has diverged stores no checkpoint: the next report names the step, whatever the time of its checkpoints.
    """
    params, algorithm, steps, distributed = run.params, run.algorithm, run.batches.steps, run.runtime.distributed
    update = OptimizerStep(run)
    saved_at = time.monotonic()
    algorithm.train()
    distributed.broadcast_module(algorithm)
    for batch in run.batches.from_step(run.step):
        learning_rate = set_learning_rate(run.optimizer, params, batch.progress)
        with distributed.sharing():
            terms = algorithm.step(augment_batch(batch, params), update)
        if run.average:
            run.average.update(algorithm.network, run.step)
        run.step += 1
        run.means.add({**terms, **algorithm.diagnostics(), "learning_rate": learning_rate})
        run.runtime.reporter.update_progress(run.progress)

        if is_due(run.step, steps, REPORTS_PER_RUN):
            report(run, run.means.take())
        if is_due(run.step, steps, EVALUATIONS_PER_RUN):
            evaluate(run)
        is_late = time.monotonic() - saved_at >= run.runtime.checkpoint_seconds
        decisions = distributed.broadcast_from_rank_zero(stops_early(run), run.runtime.reporter.should_stop, is_late)
        is_over, should_stop, is_late = map(bool, decisions)
        if is_over:
            break
        if should_stop or is_late:
            if all_finite(*(term.detach() for term in terms.values())):
                run.checkpoint()
            saved_at = time.monotonic()
            if should_stop:
                raise StopRequested
    algorithm.network.load_state_dict(run.selector.weights)


class OptimizerStep:
    """An update of the weights: mixed precision, gradients averaged over processes and clipped, one step of the optimizer."""

    def __init__(self, run: TrainingRun) -> None:
        self._optimizer, self._clip = run.optimizer, run.params.gradient_clip
        self._device = run.batches.device.type
        self._bfloat16 = run.options.precision == "bfloat16"
        self._average_gradients = run.runtime.distributed.average_gradients
        self._weights = [weight for group in run.optimizer.param_groups for weight in group["params"]]

    def __call__(self, terms: Callable[[], Terms], only: Iterable[nn.Parameter] | None = None) -> Terms:
        """Follow the gradient of the terms' sum; see `worker.algorithms.base.Update`."""
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            values = terms()
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack([value.float() for value in values.values()]).sum()
        total.backward(inputs=None if only is None else list(only))  # type: ignore[no-untyped-call]
        self._average_gradients(self._weights)
        torch.nn.utils.clip_grad_norm_(self._weights, self._clip)
        self._optimizer.step()
        return values


def stops_early(run: TrainingRun) -> bool:
    """Return whether the run has collapsed for good, or has not improved for `patience` evaluations."""
    selector, patience = run.selector, run.params.patience
    return selector.has_collapsed_for_good or 0 < patience <= selector.evaluations_without_improvement


def report(run: TrainingRun, means: dict[str, float]) -> None:
    """Send a point of each curve. Raise Diverged."""
    check_finite(run, *means.values())
    if "domain_accuracy" in means:
        run.domain_accuracy.append(means["domain_accuracy"])
    send(run, means)


def send(run: TrainingRun, values: dict[str, float]) -> None:
    """Report these values of the current step under the run's prefix."""
    metrics = {f"{run.options.metric_prefix}{name}": value for name, value in values.items()}
    run.runtime.reporter.report(run.step, epoch(run), run.progress, metrics)


def all_finite(*losses: Tensor | float) -> bool:
    return all(map(math.isfinite, losses))


def check_finite(run: TrainingRun, *losses: Tensor | float) -> None:
    """Raise Diverged unless all losses are finite."""
    if not all_finite(*losses):
        raise Diverged(f"The loss was not a finite number at step {run.step}. Try a smaller `learning_rate`.")


def evaluate(run: TrainingRun) -> None:
    """Score the network with the job's validator, and pass it to the checkpoint selection. Raise Diverged.

    A method that does not see the target keeps its newest network, whatever the scores. The other validators score the selected
    network only.
    """
    network, validator = run.network, run.params.validator
    scored = {SOURCE_VALIDATOR, validator, *run.runtime.further_validators}
    outputs = run.evaluator.outputs(network, mixtures=MIXTURE_VALIDATOR in scored)
    target_accuracy = run.evaluator.target_accuracy(network)
    check_finite(run, *outputs.finiteness_check)
    run.algorithm.train()
    scores = validators.scores(outputs, scored)
    run.algorithm.on_evaluation(outputs)
    had_collapsed = run.selector.ever_collapsed
    accuracy = scores[SOURCE_VALIDATOR]
    score = scores[validator] if run.params.needs_target else nan
    if run.params.needs_target and math.isnan(score):
        run.runtime.reporter.warn("validator_silent", VALIDATOR_UNAVAILABLE.format(validator))
    outcome = run.selector.update(run.step, accuracy, score, network.state_dict())
    send(run, scores if target_accuracy is None else {**scores, "target_accuracy": target_accuracy})
    if outcome.collapsed and not had_collapsed:
        warn_collapse(run, accuracy)


def warn_collapse(run: TrainingRun, accuracy: float) -> None:
    """Warn that the source accuracy has collapsed."""
    run.runtime.reporter.warn(
        "collapsed",
        f"At step {run.step} the accuracy on the source fell back to chance ({accuracy:.2f}, best {run.selector.best:.2f}). "
        f"The network of step {run.selector.step} is selected unless the run recovers. Try a smaller `learning_rate`.",
    )


def is_due(step: int, steps: int, times: int) -> bool:
    """Return whether an event of about `times` times a run is due after this step; it is after the last."""
    return step % max(1, steps // times) == 0 or step == steps


def epoch(run: TrainingRun) -> float:
    """Return the number of passes so far."""
    return run.step / run.batches.steps_per_epoch


def make_optimizer(algorithm: Algorithm) -> Optimizer:
    """Return the optimizer of the parameters for the algorithm's weights."""
    params, groups = algorithm.params, algorithm.parameter_groups()
    if params.optimizer == "sgd":
        return SGD(groups, params.learning_rate, 0.9, weight_decay=params.weight_decay, nesterov=True, fused=True)
    return AdamW(groups, params.learning_rate, weight_decay=params.weight_decay, fused=True)


def set_learning_rate(optimizer: Optimizer, params: AlgorithmParams, progress: float) -> float:
    """Give every group its learning rate at this point of the run; return that of the new layers."""
    learning_rate = params.learning_rate * (inverse_decay(progress) if params.lr_schedule == "inverse_decay" else 1.0)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["factor"]
    return learning_rate
