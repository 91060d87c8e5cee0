"""The trials of a job: the source-only baseline, the method, or the candidates of a search.

Every later checkpoint contains the trials that have ended or failed. A resumed job therefore continues in the interrupted trial.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from app.algorithms.gradient_boosting import GradientBoostingParams
from app.algorithms.logistic_regression import LogisticRegressionParams
from app.algorithms.source_only import SourceOnlyParams
from app.artifacts import TrainingPrecision
from app.networks.base import PlainKind
from worker import algorithms, validators
from worker.algorithms.base import Algorithm
from worker.data.sampling import PairedBatches, num_steps
from worker.data.splits import DomainData
from worker.estimates.candidate_evidence import CandidateOutputs
from worker.networks.base import Network
from worker.protocol.memory import memory_error_code
from worker.protocol.progress import BadParameters, StopRequested
from worker.protocol.progress_span import ProgressSpan
from worker.training import plain_models
from worker.training.batch_limit import BatchLimit, release_memory
from worker.training.checkpoints import seed_everything
from worker.training.evaluator import SELECTION_ROWS, Evaluator
from worker.training.loop import RunOptions, TrainingRun, train
from worker.training.mixed_precision import resolve_precision
from worker.training.runtime import NetworkFactory, TrainingRuntime

Weights = dict[str, Tensor]
BASELINE = "source_only"
BASELINE_STEPS_FRACTION = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished run: the selected weights, their step, and the number of steps of the run.

    `scores` are the validators' scores of the selected network; nan where one cannot be computed. `domain_accuracy` is the curve
    of a discriminator, empty without one. `seconds` is the time of all attempts.
    `plain_kind` is that of a plain method's network.
    """

    weights: Weights
    step: int
    steps: int
    scores: dict[str, float]
    domain_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    plain_kind: PlainKind | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the trial as values that a checkpoint can hold."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """Chosen trial with its parameters, source-only trial, and the table of a search.

    `others` are the outputs of further candidates, on the rows of the evidence.
    """

    chosen: Trial
    baseline: Trial | None
    search_table: list[dict[str, Any]]
    params: AlgorithmParams
    others: Sequence[CandidateOutputs] = ()


def source_params(params: AlgorithmParams) -> AlgorithmParams:
    """Return the parameters that train the source-only model of a method.

    A method that starts from a trained network has defaults of its own (one pass over the target, a small learning rate). They do
    not apply to the training of that network.
    """
    values = params.model_dump(include=set(AlgorithmParams.model_fields), exclude={"algorithm"})
    if params.plain_kind:
        return (GradientBoostingParams if params.plain_kind == "trees" else LogisticRegressionParams)(**values)
    if params.needs_trained_network:
        values = {name: value for name, value in values.items() if value != type(params).model_fields[name].default}
    return SourceOnlyParams(**values)


@dataclass
class TrialRunner:
    """Runs trials on the data of a job.

    `precision` is the job's decision for trials whose parameters leave it open.
    """

    networks: NetworkFactory
    data: DomainData
    runtime: TrainingRuntime
    precision: TrainingPrecision = "float32"
    ended: dict[str, Trial] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: dict[str, Any] | None = None
    batch_limit: BatchLimit = field(default_factory=BatchLimit)

    def new_evaluator(self, rows: int = SELECTION_ROWS) -> Evaluator:
        """Return an evaluator on at most this number of rows of each domain."""
        return Evaluator(self.data, self.networks.classes, self.runtime.device, rows)

    def load_network(self, trial: Trial) -> Network:
        """Return the trial's network, in evaluation mode, on the device."""
        network = self.networks.plain(trial.plain_kind) if trial.plain_kind else self.networks.build_initial()
        network.load_state_dict(trial.weights)
        return self._to_device(network).eval()

    def permits(self, kind: PlainKind) -> bool:
        """Return whether plain methods of this kind can learn the data of the job."""
        if self.data.source is None:
            return False
        try:
            self.networks.plain(kind)
        except BadParameters:
            return False
        return True

    def is_finished(self, name: str) -> bool:
        """Return whether the trial has ended or failed."""
        return name in self.ended or name in self.failed

    def is_interrupted(self, name: str) -> bool:
        """Return whether the trial will continue from a checkpoint."""
        return self.interrupted is not None and self.interrupted["trial"] == name

    def resume(self, key: str) -> None:
        """Continue from this checkpoint, or start again, with a warning, when it is missing."""
        try:
            state = self.runtime.checkpoints.load(key)
        except FileNotFoundError:
            self.runtime.reporter.warn(
                "checkpoint_missing", "The last checkpoint is missing; the training starts again from the beginning."
            )
            return
        self.ended = {name: Trial(**trial) for name, trial in state["ended"].items()}
        self.failed, self.precision = state["failed"], state["precision"]
        self.batch_limit.rows = state.get("max_batch_size")  # checkpoints of earlier releases have none
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def resume_foreign(self, key: str) -> None:
        """Continue the trial of another job's checkpoint, unless that is missing."""
        try:
            state = self.runtime.checkpoints.read(key)
        except FileNotFoundError:
            return
        self.interrupted = {"trial": state["trial"], "run": state["run"]}

    def save(self) -> None:
        """Store the ended trials in a checkpoint without a run."""
        if self.runtime.distributed.is_rank_zero:
            state = self._shared_state(None) | {"run": None}
            self.runtime.reporter.checkpoint(self.runtime.checkpoints.save(f"after-{len(self.ended)}", state))

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
            options = RunOptions(resolve_precision(params, self.precision), span, metric_prefix, self._shared_state(name))
            try:
                self.ended[name] = (
                    self._fit(params, options) if params.plain_kind else self._run(name, params, start, steps, options)
                )
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
            return Trial(self.networks.build_initial().state_dict(), 0, 0, {})
        self.runtime.reporter.enter_phase("source-only", span.start)
        steps = self.baseline_steps(params, fully_trained=fully_trained)
        return self.run(BASELINE, source_params(params), span, steps=steps, metric_prefix=f"{BASELINE}_")

    def baseline_steps(self, params: AlgorithmParams, *, fully_trained: bool = False) -> int:
        """Return the number of steps of a method's baseline."""
        if self.data.source is None or params.plain_kind:
            return 0
        if fully_trained or params.needs_trained_network:
            return max(num_steps(source_params(params), len(self.data.training)), params.min_steps)
        return max(1, int(num_steps(params, self.data.rows(params)) * BASELINE_STEPS_FRACTION))

    def _to_device(self, network: Network) -> Network:
        return network.to(self.runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _run(self, name: str, params: AlgorithmParams, start: Weights | None, steps: int | None, options: RunOptions) -> Trial:
        """Train with the requested batch, or with the largest half, quarter, ... of it that fits into the memory."""
        while True:
            fitting = self.batch_limit.applied(params)
            try:
                return self._train(name, self._new_run(fitting, start, steps, options))
            except (RuntimeError, MemoryError) as error:
                if memory_error_code(error) is None or not self._may_halve(fitting.batch_size):
                    raise
            release_memory()
            for warning in self.batch_limit.warnings:
                self.runtime.reporter.warn(warning.code, warning.message)
            options = replace(options, shared_state=self._shared_state(name))

    def _new_run(self, params: AlgorithmParams, start: Weights | None, steps: int | None, options: RunOptions) -> TrainingRun:
        algorithm, batches = self._make_algorithm(params, start), self._make_batches(params, steps)
        return TrainingRun(algorithm, batches, self.new_evaluator(), self.runtime, options)

    def _may_halve(self, batch_size: int) -> bool:
        """Halve the batch if it is large enough. Several processes of one job would have to agree, so they fail instead."""
        return self.runtime.distributed.world_size == 1 and self.batch_limit.halve(batch_size)

    def _fit(self, params: AlgorithmParams, options: RunOptions) -> Trial:
        """Fit a plain method, which counts as one step. Raise StopRequested before it."""
        assert params.plain_kind is not None
        if any(self.runtime.distributed.broadcast_from_rank_zero(self.runtime.reporter.should_stop)):
            self.save()
            raise StopRequested
        began = time.monotonic()
        network = self.networks.plain(params.plain_kind)
        plain_models.fit(params, network, self.data, self.networks.classes)
        network = self._to_device(network)
        self.runtime.distributed.broadcast_module(network)
        evaluator = self.new_evaluator()
        scores, accuracy = validators.scores(evaluator.outputs(network)), evaluator.target_accuracy(network)
        values = scores if accuracy is None else {**scores, "target_accuracy": accuracy}
        metrics = {f"{options.metric_prefix}{name}": value for name, value in values.items()}
        self.runtime.reporter.report(1, 1.0, options.span.at(1.0), metrics)
        seconds, *shared = self.runtime.distributed.broadcast_from_rank_zero(time.monotonic() - began, *scores.values())
        weights = {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}
        return Trial(weights, 1, 1, dict(zip(scores, shared, strict=True)), [], seconds, params.plain_kind)

    def _train(self, name: str, run: TrainingRun) -> Trial:
        if self.interrupted and self.is_interrupted(name):
            run.load_state_dict(self.interrupted["run"])
            self.interrupted = None
        train(run)
        scores = validators.scores(run.evaluator.outputs(run.algorithm.network))
        seconds, *values = self.runtime.distributed.broadcast_from_rank_zero(run.elapsed, *scores.values())
        scores = dict(zip(scores, values, strict=True))
        return Trial(run.selector.weights, run.selector.step, run.step, scores, run.domain_accuracy, seconds)

    def _make_algorithm(self, params: AlgorithmParams, start: Weights | None) -> Algorithm:
        seed_everything(params.seed)
        network = self._to_device(self.networks.build_initial())
        if start is not None:
            network.load_state_dict(start)
            network.copy_to_source_statistics()
        return algorithms.build(params, network, self.networks.classes).to(self.runtime.device)

    def _make_batches(self, params: AlgorithmParams, steps: int | None) -> PairedBatches:
        return PairedBatches(
            self.data.source if params.needs_source else None,
            self.data.target if params.needs_target else None,
            train=self.data.training,
            params=params,
            device=self.runtime.device,
            steps=steps,
        )

    def _shared_state(self, name: str | None) -> dict[str, Any]:
        """Return the state that checkpoints hold beside that of the run, which belongs to the trial of this name."""
        ended = {key: trial.state_dict() for key, trial in self.ended.items()}
        shared = {"failed": dict(self.failed), "precision": self.precision, "max_batch_size": self.batch_limit.rows}
        return {"trial": name, "ended": ended, **shared}
