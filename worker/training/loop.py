"""The training loop, the only one."""

import math
import time
from collections import defaultdict
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
from worker.data.batches import PairedBatches
from worker.distributed import data_parallel
from worker.networks.base import Network
from worker.protocol.progress import BadParameters, ProgressReporter, StopRequested
from worker.training.checkpoint_selection import CheckpointSelector
from worker.training.checkpoints import Checkpoints, random_state, restore_random_state
from worker.training.ema import ExponentialMovingAverage
from worker.training.evaluator import Evaluator

TRAINING_SHARE = 0.95  # of a job's progress: measuring, exporting and storing come after it
VALIDATOR_UNAVAILABLE = (
    "The validator `{}` has nothing to say of these data: a run keeps its newest network, a search the source-only one."
)
REPORTS_PER_RUN = 200
EVALUATIONS_PER_RUN = 20


class Diverged(BadParameters):
    """The loss is no longer a number."""


@dataclass
class TrainingRun:
    """One algorithm's training. Its progress in the job goes from `begin` to `end`; `prefix` sets its curves apart.

    `carried` is stored in its checkpoints beside its own state. `seconds` is what earlier attempts took.
    """

    algorithm: Algorithm
    batches: PairedBatches
    evaluator: Evaluator
    selector: CheckpointSelector
    reporter: ProgressReporter
    checkpoints: Checkpoints
    checkpoint_seconds: float
    precision: TrainingPrecision = "float32"
    begin: float = 0.0
    end: float = TRAINING_SHARE
    metric_prefix: str = ""
    shared_state: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    domain_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    optimizer: Optimizer = field(init=False)
    average: ExponentialMovingAverage | None = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.algorithm)
        self.average = ExponentialMovingAverage(self.algorithm.network, self.params.ema_decay) if self.params.ema_decay else None

    @property
    def progress(self) -> float:
        return self.begin + (self.end - self.begin) * self.step / self.batches.steps

    @property
    def elapsed(self) -> float:
        """Seconds, those of earlier attempts included."""
        return self.seconds + time.monotonic() - self.began

    @property
    def params(self) -> AlgorithmParams:
        return self.algorithm.params

    @property
    def network(self) -> Network:
        """What a version would get: the network, or the average of its weights."""
        return self.average.network if self.average else self.algorithm.network

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.elapsed,
            "domain_accuracy": self.domain_accuracy,
            "algorithm": self.algorithm.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "selection": self.selector.state_dict(),
            "random": random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was taken."""
        self.step, self.seconds, self.domain_accuracy = state["step"], state["seconds"], state["domain_accuracy"]
        self.algorithm.load_state_dict(state["algorithm"])
        if self.average:
            self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.selector.load_state_dict(state["selection"])
        restore_random_state(state["random"])

    def checkpoint(self) -> None:
        if not data_parallel.is_rank_zero():
            return
        key = self.checkpoints.save(f"{self.metric_prefix}{self.step}", self.shared_state | {"run": self.state_dict()})
        self.reporter.checkpoint(key)


def train(run: TrainingRun) -> None:
    """Train to the end, then put the selected network's weights (see `worker.training.checkpoint_selection`) into the network.

    Raises Stopped after storing a checkpoint when the reporter was asked to stop, Diverged when the loss is not finite.
    """
    params, algorithm, steps = run.params, run.algorithm, run.batches.steps
    descend = OptimizerStep(run)
    meter, saved_at = RunningMeans(), time.monotonic()
    algorithm.train()
    data_parallel.broadcast_module(algorithm)
    for batch in run.batches.from_step(run.step):
        rate = set_rate(run.optimizer, params, batch.progress)
        with data_parallel.sharing():
            terms = algorithm.step(augment_batch(batch, params), descend)
        if run.average:
            run.average.update(algorithm.network, run.step)
        run.step += 1
        meter.add({**terms, **algorithm.diagnostics(), "learning_rate": rate})
        run.reporter.update_progress(run.progress)

        if is_due(run.step, steps, REPORTS_PER_RUN):
            report(run, meter.means())
        if is_due(run.step, steps, EVALUATIONS_PER_RUN):
            evaluate(run)
        given_up = run.selector.has_collapsed_for_good or 0 < params.patience <= run.selector.evaluations_without_improvement
        is_late = time.monotonic() - saved_at >= run.checkpoint_seconds
        given_up, should_stop, is_late = map(
            bool, data_parallel.broadcast_from_rank_zero(given_up, run.reporter.should_stop, is_late)
        )
        if given_up:
            break
        if should_stop or is_late:
            check_finite(run, *(term.detach() for term in terms.values()))
            run.checkpoint()
            saved_at = time.monotonic()
            if should_stop:
                raise StopRequested
    algorithm.network.load_state_dict(run.selector.weights)


class OptimizerStep:
    """The updates of a run: mixed precision, the joint gradient clipped, one step of the optimizer."""

    def __init__(self, run: TrainingRun) -> None:
        self._optimizer, self._clip = run.optimizer, run.params.gradient_clip
        self._device = run.batches.device.type
        self._bfloat16 = run.precision == "bfloat16"
        self._weights = [weight for group in run.optimizer.param_groups for weight in group["params"]]

    def __call__(self, terms: Callable[[], Terms], only: Iterable[nn.Parameter] | None = None) -> Terms:
        """See `worker.algorithms.base.Descend`."""
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            values = terms()
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack([value.float() for value in values.values()]).sum()
        total.backward(inputs=None if only is None else list(only))  # type: ignore[no-untyped-call]
        data_parallel.average_gradients(self._weights)
        torch.nn.utils.clip_grad_norm_(self._weights, self._clip)
        self._optimizer.step()
        return values


def report(run: TrainingRun, means: dict[str, float]) -> None:
    """Send a point of each curve. Raises Diverged."""
    check_finite(run, *means.values())
    if "domain_accuracy" in means:
        run.domain_accuracy.append(means["domain_accuracy"])
    send(run, means)


def send(run: TrainingRun, values: dict[str, float]) -> None:
    run.reporter.report(
        run.step, epoch(run), run.progress, {f"{run.metric_prefix}{name}": value for name, value in values.items()}
    )


def check_finite(run: TrainingRun, *losses: Tensor | float) -> None:
    """Raises Diverged."""
    if not all(map(math.isfinite, losses)):
        raise Diverged(f"The loss was no longer a number at step {run.step}. A smaller learning rate may help.")


def evaluate(run: TrainingRun) -> None:
    """Let every validator score the network, and remember it if it is a good one. Raises Diverged.

    Of a method that does not see the target the newest network is the one to keep, whatever the scores.
    """
    network = run.network
    evidence, truth = run.evaluator.outputs(network), run.evaluator.target_accuracy(network)
    check_finite(run, *evidence.finiteness_check)
    run.algorithm.train()
    scores = validators.scores(evidence)
    run.algorithm.on_evaluation(evidence)
    warned = run.selector.ever_collapsed
    accuracy = scores["source_accuracy"]
    score = scores[run.params.validator] if run.params.needs_target else nan
    if run.params.needs_target and math.isnan(score):
        run.reporter.warn("validator_silent", VALIDATOR_UNAVAILABLE.format(run.params.validator))
    found = run.selector.update(run.step, accuracy, score, network.state_dict())
    send(run, scores if truth is None else {**scores, "target_accuracy": truth})
    if found.collapsed and not warned:
        run.reporter.warn(
            "collapsed",
            f"At step {run.step} the accuracy on the source fell back to chance ({accuracy:.2f}, best {run.selector.best:.2f}). "
            f"The network of step {run.selector.step} is kept unless the run recovers.",
        )


class RunningMeans:
    """Values of the steps since the last report, left on their device until then."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor | float]] = defaultdict(list)

    def add(self, values: dict[str, Tensor | float]) -> None:
        for name, value in values.items():
            self._values[name].append(value.detach() if isinstance(value, Tensor) else value)

    def means(self) -> dict[str, float]:
        """Mean of each since the last call."""
        means = {
            name: float(torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values]).mean())
            for name, values in self._values.items()
        }
        self._values.clear()
        return means


def is_due(step: int, steps: int, times: int) -> bool:
    """Whether something that happens about `times` times in a run of `steps` happens after this step; it does after the last."""
    return step % max(1, steps // times) == 0 or step == steps


def epoch(run: TrainingRun) -> float:
    return run.step / run.batches.steps_per_epoch


def make_optimizer(algorithm: Algorithm) -> Optimizer:
    params, groups = algorithm.params, algorithm.parameter_groups()
    if params.optimizer == "sgd":
        return SGD(groups, params.learning_rate, 0.9, weight_decay=params.weight_decay, nesterov=True, fused=True)
    return AdamW(groups, params.learning_rate, weight_decay=params.weight_decay, fused=True)


def set_rate(optimizer: Optimizer, params: AlgorithmParams, progress: float) -> float:
    """Give every group its rate at this point of the run; returns that of the new layers."""
    rate = params.learning_rate * (inverse_decay(progress) if params.lr_schedule == "inverse_decay" else 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return rate
