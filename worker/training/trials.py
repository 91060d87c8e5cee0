"""The trials of a job: the source-only baseline, the method, or the candidates of a search.

Every later checkpoint contains the trials that have ended or failed. A resumed job therefore continues in the interrupted trial.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from app.algorithms.source_only import SourceOnlyParams
from app.artifacts import TrainingPrecision
from worker import algorithms, validators
from worker.data.sampling import PairedBatches, num_steps
from worker.data.splits import DomainData
from worker.distributed.processes import Distributed
from worker.networks.base import Network
from worker.protocol.progress import BadParameters, ProgressReporter
from worker.protocol.progress_span import ProgressSpan
from worker.training.checkpoint_selection import CheckpointSelector
from worker.training.checkpoints import Checkpoints, seed_everything
from worker.training.evaluator import Evaluator
from worker.training.loop import TrainingRun, train
from worker.training.mixed_precision import resolve_precision

Weights = dict[str, Tensor]
BASELINE = "source_only"
BASELINE_STEPS_FRACTION = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished run: the selected weights, their step, and the number of steps of the run.

    `scores` are the validators' scores of the selected network; nan where one cannot be computed. `domain_accuracy` is the curve
    of a discriminator, empty without one. `seconds` is the time of all attempts.
    """

    weights: Weights
    step: int
    steps: int
    scores: dict[str, float]
    domain_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the trial as values that a checkpoint can hold."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def source_params(params: AlgorithmParams) -> SourceOnlyParams:
    """Return the parameters that train the source-only network of a method.

    A method that starts from a trained network has defaults of its own (one pass over the target, a small learning rate). They do
    not apply to the training of that network.
    """
    values = params.model_dump(include=set(AlgorithmParams.model_fields), exclude={"algorithm"})
    if params.needs_trained_network:
        values = {name: value for name, value in values.items() if value != type(params).model_fields[name].default}
    return SourceOnlyParams(**values)


@dataclass
class TrialRunner:
    """Runs trials on the data of a job.

    `build_initial` makes the network that every trial starts with, `build_untrained` one with random weights. Without
    `build_untrained` both are the same. `precision` is the job's decision for trials whose parameters leave it open.
    """

    build_initial: Callable[[], Network]
    data: DomainData
    classes: int
    device: torch.device
    reporter: ProgressReporter
    checkpoints: Checkpoints
    checkpoint_seconds: float
    precision: TrainingPrecision = "float32"
    build_untrained: Callable[[], Network] | None = None
    distributed: Distributed = field(default_factory=Distributed)
    ended: dict[str, Trial] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: dict[str, Any] | None = None

    def new_network(self) -> Network:
        """Return a network that has learned nothing."""
        return (self.build_untrained or self.build_initial)()

    def load_network(self, trial: Trial) -> Network:
        """Return the trial's network, in evaluation mode, on the device."""
        network = self.build_initial()
        network.load_state_dict(trial.weights)
        return self._to_device(network).eval()

    def is_finished(self, name: str) -> bool:
        """Return whether the trial has ended or failed."""
        return name in self.ended or name in self.failed

    def is_interrupted(self, name: str) -> bool:
        """Return whether the trial will continue from a checkpoint."""
        return self.interrupted is not None and self.interrupted["trial"] == name

    def resume(self, key: str) -> None:
        """Continue from this checkpoint, or start again, with a warning, when it is missing."""
        try:
            state = self.checkpoints.load(key)
        except FileNotFoundError:
            self.reporter.warn(
                "checkpoint_missing", "The last checkpoint is missing; the training starts again from the beginning."
            )
            return
        self.ended = {name: Trial(**trial) for name, trial in state["ended"].items()}
        self.failed, self.precision = state["failed"], state["precision"]
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def resume_foreign(self, key: str) -> None:
        """Continue the trial of another job's checkpoint, unless that is missing."""
        try:
            state = self.checkpoints.read(key)
        except FileNotFoundError:
            return
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def save(self) -> None:
        """Store the ended trials in a checkpoint without a run."""
        if self.distributed.is_rank_zero:
            state = self._shared_state(None) | {"run": None}
            self.reporter.checkpoint(self.checkpoints.save(f"after-{len(self.ended)}", state))

    def run(
        self,
        name: str,
        params: AlgorithmParams,
        span: ProgressSpan,
        *,
        start: Weights | None = None,
        steps: int | None = None,
        metric_prefix: str = "",
    ) -> Trial:
        """Train, unless the trial is finished. `start` are the weights of a trained network for methods that need one.

        Raise StopRequested, Diverged, BadParameters.
        """
        if name in self.failed:
            raise BadParameters(self.failed[name])
        if name not in self.ended:
            try:
                self.ended[name] = self._train(name, self._make_run(name, params, span, start, steps, metric_prefix))
            except BadParameters as error:
                self.failed[name] = str(error)
                raise
        return self.ended[name]

    def run_baseline(self, params: AlgorithmParams, span: ProgressSpan, *, fully_trained: bool = False) -> Trial:
        """Train the source-only network of a method; without a source, return the network that the job starts from.

        As the baseline of a comparison it gets half of the method's steps. A method that starts from it needs a fully trained
        one, and so does a search with such a candidate (`fully_trained`).
        """
        if self.data.source is None:
            return Trial(self.build_initial().state_dict(), 0, 0, {})
        steps = self.baseline_steps(params, fully_trained=fully_trained)
        return self.run(BASELINE, source_params(params), span, steps=steps, metric_prefix=f"{BASELINE}_")

    def baseline_steps(self, params: AlgorithmParams, *, fully_trained: bool = False) -> int:
        """Return the number of steps of a method's baseline."""
        if self.data.source is None:
            return 0
        if fully_trained or params.needs_trained_network:
            return max(num_steps(source_params(params), len(self.data.training)), params.min_steps)
        return max(1, int(num_steps(params, self.data.rows(params)) * BASELINE_STEPS_FRACTION))

    def _to_device(self, network: Network) -> Network:
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _train(self, name: str, run: TrainingRun) -> Trial:
        if self.interrupted and self.is_interrupted(name):
            run.load_state_dict(self.interrupted["run"])
            self.interrupted = None
        train(run)
        scores = validators.scores(run.evaluator.outputs(run.algorithm.network))
        seconds, *values = self.distributed.broadcast_from_rank_zero(run.elapsed, *scores.values())
        scores = dict(zip(scores, values, strict=True))
        return Trial(run.selector.weights, run.selector.step, run.step, scores, run.domain_accuracy, seconds)

    def _make_run(
        self,
        name: str,
        params: AlgorithmParams,
        span: ProgressSpan,
        start: Weights | None,
        steps: int | None,
        metric_prefix: str,
    ) -> TrainingRun:
        seed_everything(params.seed)
        network = self._to_device(self.build_initial())
        if start is not None:
            network.load_state_dict(start)
            network.copy_to_source_statistics()
        evaluator = Evaluator(self.data, self.classes, self.device)
        return TrainingRun(
            algorithms.build(params, network, self.classes).to(self.device),
            self._make_batches(params, steps),
            evaluator,
            CheckpointSelector(evaluator.source_labels),
            self.reporter,
            self.checkpoints,
            self.checkpoint_seconds,
            precision=resolve_precision(params, self.precision),
            span=span,
            metric_prefix=metric_prefix,
            shared_state=self._shared_state(name),
            distributed=self.distributed,
        )

    def _make_batches(self, params: AlgorithmParams, steps: int | None) -> PairedBatches:
        return PairedBatches(
            self.data.source if params.needs_source else None,
            self.data.target if params.needs_target else None,
            train=self.data.training,
            params=params,
            device=self.device,
            steps=steps,
        )

    def _shared_state(self, name: str | None) -> dict[str, Any]:
        """Return the state that checkpoints hold beside that of the run, which belongs to the trial of this name."""
        ended = {key: trial.state_dict() for key, trial in self.ended.items()}
        return {"trial": name, "ended": ended, "failed": dict(self.failed), "precision": self.precision}
