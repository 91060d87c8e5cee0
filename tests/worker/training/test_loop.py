import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.toy_problems import make_toy, toy_params
from worker import validators
from worker.algorithms.base import Algorithm
from worker.data.batch import Batch
from worker.protocol.progress import BadParameters, StopRequested
from worker.training.loop import TRAINING_SPAN, Diverged, evaluate, is_due, train
from worker.training.running_means import RunningMeans


class Collapsing(Algorithm):
    """An algorithm that unlearns in the second half of the run."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        loss = F.cross_entropy(self.network(batch.source_x), batch.source_y)
        return {"classification": loss if batch.progress < 0.5 else -20 * loss}


class Poisoned(Algorithm):
    """An algorithm whose loss is not a number from the tenth step on."""

    steps = 0

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        loss = F.cross_entropy(self.network(batch.source_x), batch.source_y)
        return {"classification": loss * (math.nan if self.steps >= 10 else 1)}


def test_collapsed_run_warns_and_keeps_the_earlier_checkpoint(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", epochs=20, lr_schedule="constant"), kind=Collapsing)
    train(toy.run)
    steps, selection = toy.run.batches.steps, toy.run.selector
    assert [warning["code"] for warning in toy.warnings] == ["collapsed"]
    assert "fell back to chance" in toy.warnings[0]["message"]
    assert f"step {selection.step} is selected" in toy.warnings[0]["message"]
    assert 0.3 * steps < selection.step <= 0.65 * steps
    assert toy.series("source_accuracy")[-1] < 0.6
    evidence = toy.run.evaluator.outputs(toy.run.network)
    assert validators.load("source_accuracy")(evidence) == selection.accuracy > 0.9
    assert toy.run.step < steps  # given up


def test_nan_loss_stops_the_run(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", epochs=100), kind=Poisoned)
    with pytest.raises(Diverged, match="not a finite number") as caught:
        train(toy.run)
    assert 10 <= toy.run.step < 30
    assert isinstance(caught.value, BadParameters)


def test_step_of_a_divergence_does_not_depend_on_the_time_of_checkpoints(tmp_path: Path) -> None:
    messages, checkpoints = [], []
    for name, seconds in (("rare", 1000.0), ("often", 0.0)):
        toy = make_toy(tmp_path / name, toy_params("fine_tune", epochs=100), kind=Poisoned)
        toy.run.runtime.checkpoint_seconds = seconds
        with pytest.raises(Diverged) as caught:
            train(toy.run)
        messages.append(str(caught.value))
        checkpoints.append([report["checkpoint"] for report in toy.reports if report["checkpoint"]])
    assert messages[0] == messages[1]
    assert checkpoints == [[], [f"jobs/a/1/checkpoint-{step}.pt" for step in range(1, 10)]]


def test_resumed_run_has_the_curves_of_an_uninterrupted_one(tmp_path: Path) -> None:
    params = toy_params("dann", epochs=1, min_steps=450)  # a report every second step
    whole = make_toy(tmp_path / "whole", params)
    train(whole.run)
    first = make_toy(tmp_path / "parts", params, stop_at=5)
    with pytest.raises(StopRequested):
        train(first.run)
    second = make_toy(tmp_path / "parts", params)
    second.resume(first.checkpoint)
    train(second.run)
    assert second.run.domain_accuracy == whole.run.domain_accuracy
    assert first.series("domain_accuracy") + second.series("domain_accuracy") == whole.series("domain_accuracy")


def test_checkpoint_of_other_parameters_is_rejected(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", epochs=1))
    toy.run.checkpoint()
    other = make_toy(tmp_path, toy_params("fine_tune", epochs=1), digest="other parameters")
    with pytest.raises(BadParameters):
        other.resume(toy.checkpoint)


def test_checkpoints_are_stored_and_reported_at_the_interval(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", epochs=1))
    toy.run.runtime.checkpoint_seconds = 0
    train(toy.run)
    keys = [report["checkpoint"] for report in toy.reports if report["checkpoint"]]
    assert keys == [f"jobs/a/1/checkpoint-{step}.pt" for step in range(1, toy.run.batches.steps + 1)]


def test_run_stopped_after_its_last_step_resumes_to_its_result(tmp_path: Path) -> None:
    first = make_toy(tmp_path, toy_params("fine_tune", epochs=1))
    first.run.runtime.checkpoint_seconds = 0
    train(first.run)
    second = make_toy(tmp_path, toy_params("fine_tune", epochs=1))
    second.resume(first.checkpoint)
    train(second.run)
    weights = first.run.algorithm.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in second.run.algorithm.state_dict().items())


def test_momentum_sgd_learns(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", optimizer="sgd", learning_rate=0.01, epochs=10), digits=True)
    train(toy.run)
    assert toy.run.optimizer.defaults["momentum"] == 0.9
    assert toy.run.optimizer.defaults["nesterov"]
    assert toy.run.selector.accuracy > 0.9


def test_progress_and_epochs_grow_to_the_end(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", epochs=3))
    train(toy.run)
    points = [point for report in toy.reports for point in report["metrics"]]
    assert max(point["epoch"] for point in points) == 3
    assert toy.reports[-1]["progress"] == TRAINING_SPAN.end
    assert len(toy.series("source_accuracy")) >= 10


def test_bfloat16_trains(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", precision="bfloat16", epochs=5), digits=True)
    train(toy.run)
    assert toy.run.selector.accuracy > 0.8
    assert all(value.dtype == torch.float32 for value in toy.run.algorithm.parameters())


def test_evaluations_are_due_regularly_and_at_the_end() -> None:
    assert [step for step in range(1, 12) if is_due(step, 11, 3)] == [3, 6, 9, 11]
    assert all(is_due(step, 5, 20) for step in range(1, 6))


def test_running_means_restart_after_each_report() -> None:
    meter = RunningMeans()
    meter.add({"loss": torch.tensor(1.0), "rate": 0.5})
    meter.add({"loss": torch.tensor(3.0), "rate": 0.5})
    assert meter.take() == {"loss": 2.0, "rate": 0.5}
    assert meter.take() == {}


def test_averaged_weights_are_kept_and_as_accurate(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", ema_decay=0.99, min_steps=150), digits=True)
    train(toy.run)
    assert toy.run.network is not toy.run.algorithm.network
    assert toy.run.selector.accuracy > 0.9
    kept = toy.run.algorithm.network.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in toy.run.selector.weights.items())


def test_averaged_weights_resume_bit_for_bit(tmp_path: Path) -> None:
    params = toy_params("fine_tune", ema_decay=0.9, epochs=2)
    whole = make_toy(tmp_path / "whole", params)
    train(whole.run)
    first = make_toy(tmp_path / "parts", params, stop_at=5)
    with pytest.raises(StopRequested):
        train(first.run)
    second = make_toy(tmp_path / "parts", params)
    second.resume(first.checkpoint)
    train(second.run)
    ended = whole.run.network.state_dict()
    assert all(torch.equal(value, ended[name]) for name, value in second.run.network.state_dict().items())


def test_run_without_improvement_stops_early(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", patience=3, epochs=40))
    train(toy.run)  # without a target all scores are equal
    assert toy.run.step < 0.3 * toy.run.batches.steps


def test_unavailable_validator_causes_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.evaluator.Evaluator._mixed", lambda *_: None)  # as of texts, which cannot be mixed
    toy = make_toy(tmp_path, toy_params("mcc", validator="mixval", epochs=2))
    train(toy.run)
    assert {warning["code"] for warning in toy.warnings} == {"validator_silent"}
    assert toy.run.selector.step == toy.run.step


def test_warm_up_trains_on_the_source_only(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", warmup_fraction=0.5, epochs=10), digits=True)
    before = toy.run.algorithm.get_parameter("adversary.discriminator.layers.0.weight").clone()
    batches = list(toy.run.batches.from_step(0))
    assert set(toy.run.algorithm.terms(batches[0])) == {"classification"}
    middle = toy.run.algorithm.terms(batches[len(batches) // 2])
    assert set(middle) == {"classification", "domain"}
    assert toy.run.algorithm.diagnostics()["lambda"] == pytest.approx(0, abs=0.1)
    train(toy.run)
    assert not torch.equal(before, toy.run.algorithm.get_parameter("adversary.discriminator.layers.0.weight"))


@pytest.mark.parametrize("algorithm", ["bnm", "bsp", "deep_jdot", "mcc"])
def test_diverging_method_raises_an_error(algorithm: str, tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params(algorithm, epochs=1, min_steps=500))
    for weight in toy.run.network.head.parameters():
        weight.data.fill_(math.nan)
    with pytest.raises(Diverged):
        train(toy.run)


def test_network_with_nan_outputs_is_detected_at_an_evaluation(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("mcc"))
    for weight in toy.run.network.head.parameters():
        weight.data.fill_(math.nan)
    with pytest.raises(Diverged):
        evaluate(toy.run)
