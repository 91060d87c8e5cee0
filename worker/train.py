"""The training loop, the only one."""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from app.algorithms.base import AlgorithmParams
from worker.algorithms.base import Algorithm
from worker.batches import Batches
from worker.checkpoints import Checkpoints, random_state, restore_random_state
from worker.reporter import BadParameters, Reporter, Stopped
from worker.schedules import annealed
from worker.selection import Selection

TRAINING_SHARE = 0.95  # of a job's progress: measuring, exporting and storing come after it
POINTS = 200
CHECKS = 20


class Diverged(BadParameters):
    """The loss is no longer a number."""


@dataclass
class Run:
    """One job's training. `validate` measures the accuracy on the held-out part of the source."""

    algorithm: Algorithm
    batches: Batches
    validate: Callable[[], float]
    selection: Selection
    reporter: Reporter
    checkpoints: Checkpoints
    checkpoint_seconds: float
    step: int = 0
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.algorithm)

    @property
    def progress(self) -> float:
        return TRAINING_SHARE * self.step / self.batches.steps

    @property
    def params(self) -> AlgorithmParams:
        return self.algorithm.params

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "algorithm": self.algorithm.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "selection": self.selection.state_dict(),
            "random": random_state(),
        }

    def resume(self, key: str) -> None:
        """Go on where the checkpoint was made. Raises FileNotFoundError, BadParameters."""
        state = self.checkpoints.load(key)
        self.step = state["step"]
        self.algorithm.load_state_dict(state["algorithm"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.selection.load_state_dict(state["selection"])
        restore_random_state(state["random"])

    def checkpoint(self) -> None:
        self.reporter.checkpoint(self.checkpoints.save(self.step, self.state_dict()))


def train(run: Run) -> None:
    """Train to the end, then put the selected network's weights (see `worker.selection`) into the network.

    Raises Stopped after storing a checkpoint when the reporter was asked to stop, Diverged when the loss is not finite.
    """
    params, algorithm, steps = run.params, run.algorithm, run.batches.steps
    bfloat16 = uses_bfloat16(params, run.batches.device)
    meter, saved_at = Meter(), time.monotonic()
    weights = [weight for group in run.optimizer.param_groups for weight in group["params"]]
    algorithm.train()
    for batch in run.batches.after(run.step):
        rate = set_rate(run.optimizer, params, batch.progress)
        with torch.autocast(run.batches.device.type, torch.bfloat16, enabled=bfloat16):
            terms = algorithm.terms(batch)
        total = torch.stack(list(terms.values())).sum()
        run.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, params.gradient_clip)
        run.optimizer.step()
        run.step += 1
        meter.add({**terms, **algorithm.measures(), "learning_rate": rate})
        run.reporter.moved(run.progress)

        if is_due(run.step, steps, POINTS):
            report(run, meter.means())
        if is_due(run.step, steps, CHECKS):
            check(run)
        if run.selection.is_hopeless:
            break
        if run.reporter.should_stop or time.monotonic() - saved_at >= run.checkpoint_seconds:
            check_finite(run, total.detach())
            run.checkpoint()
            saved_at = time.monotonic()
            if run.reporter.should_stop:
                raise Stopped
    algorithm.network.load_state_dict(run.selection.weights)


def report(run: Run, means: dict[str, float]) -> None:
    """Send a point of each curve. Raises Diverged."""
    check_finite(run, *means.values())
    run.reporter.report(run.step, epoch(run), run.progress, means)


def check_finite(run: Run, *losses: Tensor | float) -> None:
    """Raises Diverged."""
    if not all(map(math.isfinite, losses)):
        raise Diverged(f"The loss was no longer a number at step {run.step}. A smaller learning rate may help.")


def check(run: Run) -> None:
    """Measure the accuracy on held-out source examples and remember the network if it is a good one."""
    accuracy = run.validate()
    run.algorithm.train()
    warned = run.selection.ever_collapsed
    found = run.selection.look(run.step, accuracy, run.algorithm.network.state_dict())
    run.reporter.report(run.step, epoch(run), run.progress, {"source_accuracy": accuracy})
    if found.collapsed and not warned:
        run.reporter.warn(
            "collapsed",
            f"At step {run.step} the accuracy on the source fell back to chance ({accuracy:.2f}, best {run.selection.best:.2f}). "
            f"The network of step {run.selection.step} is kept unless the run recovers.",
        )


class Meter:
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


def epoch(run: Run) -> float:
    return run.step / run.batches.steps_of_epoch


def make_optimizer(algorithm: Algorithm) -> Optimizer:
    params, groups = algorithm.params, algorithm.parameter_groups()
    if params.optimizer == "sgd":
        return SGD(groups, params.learning_rate, 0.9, weight_decay=params.weight_decay, nesterov=True, fused=True)
    return AdamW(groups, params.learning_rate, weight_decay=params.weight_decay, fused=True)


def set_rate(optimizer: Optimizer, params: AlgorithmParams, progress: float) -> float:
    """Give every group its rate at this point of the run; returns that of the new layers."""
    rate = params.learning_rate * (annealed(progress) if params.schedule == "annealed" else 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


def uses_bfloat16(params: AlgorithmParams, device: torch.device) -> bool:
    """auto: on GPUs and on CPUs with matrix units; elsewhere it gains nothing."""
    if params.precision != "auto":
        return params.precision == "bfloat16"
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()
