"""The runs of a job, one after another: the source-only reference, the method, the candidates of a search.

A trial that has ended, or failed, is part of every later checkpoint, so a job that is resumed goes on in the trial that was
interrupted.
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
from worker.data.batches import PairedBatches, num_steps
from worker.data.splits import DomainData
from worker.distributed import data_parallel
from worker.networks.base import Network
from worker.protocol.progress import BadParameters, ProgressReporter
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
    """A run that has ended: the chosen weights, the step they are of and how many steps there were.

    `scores` are what the validators say of the chosen network; nan where they say nothing. `domain_accuracy` is the curve of a
    discriminator's, empty without one. `seconds` is how long the run took, in all attempts.
    """

    weights: Weights
    step: int
    steps: int
    scores: dict[str, float]
    domain_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def source_params(params: AlgorithmParams) -> SourceOnlyParams:
    """How the source alone is trained: as the method is.

    Of a method that takes over from a trained network, what stands at its default (a pass over the target, a careful learning
    rate) says nothing of how that network is trained.
    """
    said = params.model_dump(include=set(AlgorithmParams.model_fields), exclude={"algorithm"})
    if params.needs_trained_network:
        said = {name: value for name, value in said.items() if value != type(params).model_fields[name].default}
    return SourceOnlyParams(**said)


@dataclass
class TrialRunner:
    """Runs trials on the data of a job. `build` makes a network as every trial starts with it, `fresh` one that knows nothing.

    Without `fresh` both are the same.
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
    ended: dict[str, Trial] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: dict[str, Any] | None = None

    def new_network(self) -> Network:
        """A network that has learned nothing."""
        return (self.build_untrained or self.build_initial)()

    def is_finished(self, name: str) -> bool:
        """Whether the trial has ended or failed."""
        return name in self.ended or name in self.failed

    def is_interrupted(self, name: str) -> bool:
        """Whether the trial goes on where it was interrupted."""
        return self.interrupted is not None and self.interrupted["trial"] == name

    def resume(self, key: str) -> None:
        """Go on from this checkpoint, or start again, with a warning, when it is gone."""
        try:
            state = self.checkpoints.load(key)
        except FileNotFoundError:
            self.reporter.warn("checkpoint_missing", "The last checkpoint is gone; the training starts again from the beginning.")
            return
        self.ended = {name: Trial(**trial) for name, trial in state["ended"].items()}
        self.failed, self.precision = state["failed"], state["precision"]
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def resume_foreign(self, key: str) -> None:
        """Go on with the trial that another job was interrupted in, from its checkpoint, unless that is gone."""
        try:
            state = self.checkpoints.read(key)
        except FileNotFoundError:
            return
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def save(self) -> None:
        """Store what has ended, in a checkpoint that is of no run."""
        if data_parallel.is_rank_zero():
            self.reporter.checkpoint(self.checkpoints.save(f"after-{len(self.ended)}", self._shared_state(None) | {"run": None}))

    def run(
        self,
        name: str,
        params: AlgorithmParams,
        span: tuple[float, float],
        *,
        start: Weights | None = None,
        steps: int | None = None,
        metric_prefix: str = "",
    ) -> Trial:
        """Train, unless that was done before. `span` is the part of the job's progress, `start` the weights it takes over.

        Raises Stopped, Diverged, BadParameters.
        """
        if name in self.failed:
            raise BadParameters(self.failed[name])
        if name not in self.ended:
            try:
                self.ended[name] = self._trained(name, params, span, start, steps, metric_prefix)
            except BadParameters as error:
                self.failed[name] = str(error)
                raise
        return self.ended[name]

    def run_baseline(self, params: AlgorithmParams, span: tuple[float, float], *, whole: bool = False) -> Trial:
        """What the source alone gives, trained as the method is; without a source, the network that the job starts from.

        A method that takes over from it gets a fully trained one, and so does a search with such a candidate (`whole`); to be
        compared with, half of the method's steps do.
        """
        if self.data.source is None:
            return Trial(self.build_initial().state_dict(), 0, 0, {})
        steps = self.baseline_steps(params, whole=whole)
        return self.run(BASELINE, source_params(params), span, steps=steps, metric_prefix=f"{BASELINE}_")

    def baseline_steps(self, params: AlgorithmParams, *, whole: bool = False) -> int:
        """How many the reference of a method is trained for."""
        if self.data.source is None:
            return 0
        if whole or params.needs_trained_network:
            return max(num_steps(source_params(params), len(self.data.training)), params.min_steps)
        return max(1, int(num_steps(params, self.data.rows(params)) * BASELINE_STEPS_FRACTION))

    def load_network(self, trial: Trial) -> Network:
        """The trial's network, in evaluation mode, on the device."""
        network = self.build_initial()
        network.load_state_dict(trial.weights)
        return self._placed(network).eval()

    def _placed(self, network: Network) -> Network:
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _trained(
        self, name: str, params: AlgorithmParams, span: tuple[float, float], start: Weights | None, steps: int | None, prefix: str
    ) -> Trial:
        run = self._make(name, params, span, start, steps, prefix)
        if self.interrupted and self.is_interrupted(name):
            run.load_state_dict(self.interrupted["run"])
            self.interrupted = None
        train(run)
        scores = validators.scores(run.evaluator.outputs(run.algorithm.network))
        seconds, *values = data_parallel.broadcast_from_rank_zero(run.elapsed, *scores.values())
        scores = dict(zip(scores, values, strict=True))
        return Trial(run.selector.weights, run.selector.step, run.step, scores, run.domain_accuracy, seconds)

    def _make(
        self, name: str, params: AlgorithmParams, span: tuple[float, float], start: Weights | None, steps: int | None, prefix: str
    ) -> TrainingRun:
        data = self.data
        seed_everything(params.seed)
        network = self._placed(self.build_initial())
        if start is not None:
            network.load_state_dict(start)
            network.copy_to_source_statistics()
        algorithm = algorithms.build(params, network, self.classes).to(self.device)
        batches = PairedBatches(
            data.source if params.needs_source else None,
            data.target if params.needs_target else None,
            train=data.training,
            params=params,
            device=self.device,
            steps=steps,
        )
        examiner = Evaluator(data, self.classes, self.device)
        return TrainingRun(
            algorithm,
            batches,
            examiner,
            CheckpointSelector(examiner.source_labels),
            self.reporter,
            self.checkpoints,
            self.checkpoint_seconds,
            resolve_precision(params, self.precision),
            begin=span[0],
            end=span[1],
            metric_prefix=prefix,
            shared_state=self._shared_state(name),
        )

    def _shared_state(self, name: str | None) -> dict[str, Any]:
        """What checkpoints hold beside the state of the run, which is of this trial."""
        ended = {key: trial.state_dict() for key, trial in self.ended.items()}
        return {"trial": name, "ended": ended, "failed": dict(self.failed), "precision": self.precision}
