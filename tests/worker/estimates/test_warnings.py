from dataclasses import replace

import numpy as np
import pytest

from tests.support.transfer_cases import SKEWED, network
from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.candidate_judgement import CandidateJudgement
from worker.estimates.open_set import leave_one_out_distances, missing_classes, squared_distances, unknown_class_rate
from worker.estimates.warnings import model_warnings
from worker.evaluation.clustering import class_centroids
from worker.evaluation.outputs import ModelOutputs

CLASSES = ["ant", "bee", "cat", "dog"]


def messages(
    network: CalibratedOutputs,
    *,
    target_rows: int = 1000,
    curve: tuple[float, ...] = (),
    baseline: CalibratedOutputs | None = None,
) -> dict[str, str]:
    warnings = model_warnings(network, CLASSES, target_rows=target_rows, baseline=baseline, domain_accuracy=curve)
    return {warning.code: warning.message for warning in warnings}


def calibrated(outputs: ModelOutputs) -> CalibratedOutputs:
    network = calibrate_outputs(outputs)
    assert network is not None
    return network


def test_healthy_network_gives_no_warnings() -> None:
    curve, gain = [0.9, 0.6, 0.6], CandidateJudgement(0.1, 0.95, 0.01, "yes", is_safe=True)
    found = model_warnings(network(5), CLASSES, target_rows=1000, baseline=network(4), judgement=gain, domain_accuracy=curve)
    assert found == []


def test_warning_of_few_target_rows_names_the_class_count() -> None:
    assert "only 40 target examples for 4 classes" in messages(network(5), target_rows=40)["little_target_data"]


def test_few_held_out_rows_give_a_warning() -> None:
    given = network(5).outputs
    few = {name: getattr(given, name)[:9] for name in ("source_features", "source_logits", "source_labels")}
    assert "Only 9 labelled source examples" in messages(calibrated(replace(given, **few)))["little_source_data"]


def test_label_shift_warning_from_the_baseline_names_it() -> None:
    message = messages(network(5), baseline=network(5, priors=SKEWED))["class_prior_shift"]
    assert "ant 2" in message
    assert "based on the source-only model" in message


def test_label_shift_warning_states_the_proportions() -> None:
    message = messages(network(5, priors=SKEWED))["class_prior_shift"]
    assert "ant 2" in message
    assert "to 7" in message or "to 6" in message


def test_missing_class_is_named() -> None:
    given = network(6, priors=(0.4, 0.3, 0.3, 0.0))
    assert list(missing_classes(given.priors)) == [3]
    assert "predicted as dog." in messages(given)["missing_classes"]
    assert list(missing_classes(network(6).priors)) == []


def test_rows_unlike_every_class_are_counted() -> None:
    given = network(5).outputs
    features, logits = given.target_features.copy(), given.target_logits.copy()
    features[:200], logits[:200] = -10, np.random.default_rng(0).normal(size=(200, 4))
    with_unknown = calibrated(replace(given, target_features=features, target_logits=logits))
    assert unknown_class_rate(with_unknown).target == pytest.approx(1 / 3, abs=0.08)
    assert unknown_class_rate(network(5)).target < 0.02
    assert "look like none of the classes" in messages(with_unknown)["unknown_classes"]


@pytest.mark.parametrize(("classes", "rows"), [(10, 50), (31, 3), (40, 1)])
def test_small_classes_do_not_make_target_rows_distant(classes: int, rows: int) -> None:
    random, labels = np.random.default_rng(0), np.repeat(np.arange(classes), rows)

    def side() -> np.ndarray:
        features: np.ndarray = (2 * np.eye(classes)[labels] + random.normal(size=(len(labels), classes))).astype(np.float32)
        return features

    source, target = side(), side()
    centroids = class_centroids(source, labels, classes)
    max_distance = np.quantile(leave_one_out_distances(source, labels, centroids), 0.98)
    assert (squared_distances(target, centroids).min(axis=1) > max_distance).mean() < 0.12


def test_collapsed_predictions_are_not_reported_as_missing_classes() -> None:
    shown = messages(network(9, predicted=np.zeros(600, np.int64)))
    assert "Only 1 of 4 classes" in shown["collapsed_predictions"]
    assert "missing_classes" not in shown


@pytest.mark.parametrize(
    ("curve", "code"),
    [((0.5, 0.52, 0.49, 0.5), "discriminator_at_chance"), ((0.6, 0.99, 1.0, 0.99), "discriminator_separates_domains")],
)
def test_discriminator_at_chance_or_never_fooled_gives_a_warning(curve: tuple[float, ...], code: str) -> None:
    assert [name for name in messages(network(5), curve=curve) if name.startswith("discriminator")] == [code]


def test_discriminator_fooled_after_learning_gives_no_warning() -> None:
    assert messages(network(5), curve=(0.5, 0.9, 0.7, 0.55, 0.5)) == {}


@pytest.mark.parametrize(
    ("judgement", "code", "stated"),
    [
        (CandidateJudgement(-0.05, 0.02, 0.81, "no", is_safe=False), "negative_transfer", "probability of 81%"),
        (CandidateJudgement(0.01, 0.4, 0.3, "unsure", is_safe=False), "gain_uncertain", "Label about 30 target rows"),
    ],
)
def test_expected_losses_and_uncertain_gains_give_a_warning(judgement: CandidateJudgement, code: str, stated: str) -> None:
    (warning,) = model_warnings(network(5), CLASSES, target_rows=1000, judgement=judgement)
    assert warning.code == code
    assert stated in warning.message
