"""Tests of source-only networks of trials. `tests.worker.jobs.test_adaptation` resumes trials."""

import io
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.algorithms import PARAMS
from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from app.storage import Storage
from tests.support.toy_problems import CPU, table, table_network, toy_params
from worker.data.splits import split_source
from worker.networks.base import Network
from worker.protocol.progress import BadParameters, ProgressReporter, StopRequested
from worker.protocol.progress_span import ProgressSpan
from worker.search.remote_trials import LocalOnly, TrialOwner
from worker.search.successive_halving import search
from worker.training.batch_limit import MIN_BATCH_SIZE
from worker.training.checkpoints import Checkpoints
from worker.training.runtime import NetworkFactory, TrainingRuntime
from worker.training.trials import TrialRunner, source_params


@pytest.mark.parametrize(
    ("algorithm", "given", "expected"),
    [
        ("adabn", {}, {"epochs": 20, "min_steps": 1000}),
        ("tent", {"epochs": 7}, {"epochs": 7, "min_steps": 1000}),
        ("adda", {"batch_size": 16}, {"learning_rate": 1e-3, "batch_size": 16}),
        ("adda", {"learning_rate": 0.01}, {"learning_rate": 0.01}),
        ("dann", {"seed": 3}, {"min_steps": 500, "seed": 3}),
    ],
)
def test_baseline_uses_the_training_parameters_of_the_method(
    algorithm: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    params = source_params(PARAMS[algorithm].model_validate({"algorithm": algorithm, **given}))
    assert expected.items() <= params.model_dump().items()


def make_trials(folder: Path, params: AlgorithmParams) -> TrialRunner:
    data = split_source(table(200, 2, target=False), table(400, 2, target=True), None, params)
    checkpoints = Checkpoints(Storage(f"file://{folder}/storage"), "jobs/a/1", folder, "digest")
    runtime = TrainingRuntime(CPU, ProgressReporter(io.StringIO()), checkpoints)
    return TrialRunner(NetworkFactory(2, lambda: table_network(2)), data, runtime)


@pytest.mark.parametrize(("algorithm", "steps"), [("adabn", 1000), ("shot", 1000), ("dann", 250)])
def test_method_starts_from_a_fully_trained_network(algorithm: str, steps: int, tmp_path: Path) -> None:
    params = PARAMS[algorithm].model_validate({"algorithm": algorithm, "batch_size": 32})
    reference = make_trials(tmp_path, params).run_baseline(params, ProgressSpan())
    assert reference.steps == steps
    assert reference.scores["source_accuracy"] > 0.9


def test_search_fully_trains_the_baseline_for_such_candidates(tmp_path: Path) -> None:
    steps = {}
    for name, more in (("whole", ["adda"]), ("half", [])):
        params = AutoParams(batch_size=32, min_steps=40, epochs=1, candidates=[{"algorithm": one} for one in ("mcc", *more)])
        trials = make_trials(tmp_path / name, params)
        search(trials, params, ProgressSpan())
        steps[name] = trials.ended["source_only"].steps
    assert steps == {"whole": 40, "half": 20}


def test_resumed_job_keeps_failures_and_elapsed_minutes(tmp_path: Path) -> None:
    params = toy_params("dann")
    first = make_trials(tmp_path, params)
    done = first.run("done", params, ProgressSpan(), steps=3)
    with pytest.raises(BadParameters, match="batch norm"):
        first.run("failing", toy_params("adabn"), ProgressSpan(), start=done.weights)
    first.runtime.reporter.request_stop()
    with pytest.raises(StopRequested):
        first.run("stopped", params, ProgressSpan(), steps=3)

    second = make_trials(tmp_path, params)
    second.resume("jobs/a/1/checkpoint-1.pt")
    second.networks = NetworkFactory(2, unexpected)
    assert second.run("done", params, ProgressSpan()).seconds == done.seconds > 0
    with pytest.raises(BadParameters, match="batch norm"):
        second.run("failing", toy_params("adabn"), ProgressSpan(), start=done.weights)

    second.networks = first.networks
    assert second.interrupted is not None
    second.interrupted["run"]["seconds"] = 100.0
    assert 100 < second.run("stopped", params, ProgressSpan(), steps=3).seconds < 200


def unexpected() -> Network:
    raise AssertionError("an ended or failed trial needs no network")


class SmallDevice(nn.Module):
    """A backbone that needs more memory than any machine has for larger batches in training."""

    def __init__(self, backbone: nn.Module, rows: int) -> None:
        super().__init__()
        self.backbone, self.rows = backbone, rows

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        if self.training and len(inputs["numbers"]) > self.rows:
            torch.empty(2**60, dtype=torch.uint8)
        features: Tensor = self.backbone(inputs)
        return features


def small_device_network(rows: int) -> Network:
    network = table_network(2)
    network.backbone = SmallDevice(network.backbone, rows)
    return network


def test_training_without_memory_continues_with_half_the_batch(tmp_path: Path) -> None:
    params = PARAMS["dann"].model_validate({"algorithm": "dann", "batch_size": 128, "min_steps": 1, "epochs": 1})
    trials = make_trials(tmp_path, params)
    trials.networks = NetworkFactory(2, partial(small_device_network, 40))
    assert trials.run("dann", params, ProgressSpan()).steps == ceil(400 / 32)
    assert [warning.code for warning in trials.batch_limit.warnings] == ["batch_size_reduced"]
    trials.save()

    resumed = make_trials(tmp_path, params)
    resumed.resume("jobs/a/1/checkpoint-after-1.pt")
    assert resumed.batch_limit.rows == 32


def test_smallest_batch_without_memory_fails(tmp_path: Path) -> None:
    params = PARAMS["source_only"].model_validate({"algorithm": "source_only", "batch_size": 32, "epochs": 1})
    trials = make_trials(tmp_path, params)
    trials.networks = NetworkFactory(2, partial(small_device_network, 4))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        trials.run("source_only", params, ProgressSpan())
    assert trials.batch_limit.rows == MIN_BATCH_SIZE


@pytest.mark.parametrize(("seconds", "tried"), [(500.0, 2), (700.0, 1)])
def test_minutes_budget_includes_earlier_attempts(seconds: float, tried: int, tmp_path: Path) -> None:
    values = {"candidates": [{"algorithm": "mcc"}, {"algorithm": "dann"}], "budget": {"minutes": 10}}
    trials, params = make_trials(tmp_path, toy_params("dann")), AutoParams.model_validate(values)
    done = replace(trials.run("source_only", toy_params("source_only"), ProgressSpan(), steps=3), seconds=seconds)
    trials.ended |= dict.fromkeys(["1-0-mcc", "1-1-dann"][:tried], done)
    entries = search(trials, params, ProgressSpan()).records
    assert [entry.params.algorithm for entry in entries] == ["mcc", "dann"][:tried]


class Elsewhere(LocalOnly):
    """Another worker has run DANN."""

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        return TrialOwner.FINISHED if name == "1-1-dann" else TrialOwner.LOCAL


def test_remote_trial_counts_after_the_budget_is_spent(tmp_path: Path) -> None:
    candidates = [{"algorithm": "mcc"}, {"algorithm": "dann"}, {"algorithm": "bnm"}]
    params = AutoParams.model_validate({"candidates": candidates, "budget": {"minutes": 10}})
    trials = make_trials(tmp_path, toy_params("dann"))
    done = replace(trials.run("source_only", toy_params("source_only"), ProgressSpan(), steps=3), seconds=700)
    trials.ended |= {"1-0-mcc": done, "1-1-dann": done}
    entries = search(trials, params, ProgressSpan(), Elsewhere()).records
    assert [entry.planned.name for entry in entries] == ["1-0-mcc", "1-1-dann"]
