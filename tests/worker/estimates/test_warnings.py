from dataclasses import replace

import numpy as np
import pytest

from tests.support.transfer_cases import CLEAR_GAIN, network
from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.open_set import leave_one_out_distances, missing_classes, squared_distances, unknown_class_rate
from worker.estimates.transfer_verdict import judge
from worker.estimates.warnings import model_warnings
from worker.evaluation.clustering import class_centroids

CLASSES = ["ant", "bee", "cat", "dog"]


def told(network: CalibratedOutputs, *, target_rows: int = 1000, curve: tuple[float, ...] = ()) -> dict[str, str]:
    found = model_warnings(network, CLASSES, target_rows=target_rows, domain_accuracy=curve)
    return {warn.code: warn.message for warn in found}


def test_nothing_is_told_of_a_network_without_trouble() -> None:
    assert (
        model_warnings(
            network(5), CLASSES, target_rows=1000, baseline=network(4), verdict=judge(CLEAR_GAIN), domain_accuracy=[0.9, 0.6, 0.6]
        )
        == []
    )


def test_a_target_is_small_by_its_classes() -> None:
    assert "only 40 target examples for 4 classes" in told(network(5), target_rows=40)["little_target_data"]


def test_a_few_labelled_rows_are_told_of() -> None:
    given = network(5).outputs
    few = {name: getattr(given, name)[:9] for name in ("source_features", "source_logits", "source_labels")}
    found = calibrate_outputs(replace(given, **few))
    assert found is not None
    assert "Only 9 labelled source examples" in told(found)["little_source_data"]


def test_a_shift_that_only_the_source_alone_sees_is_told_as_such() -> None:
    found = {
        warn.code: warn.message
        for warn in model_warnings(network(5), CLASSES, target_rows=1000, baseline=network(5, priors=(0.7, 0.1, 0.1, 0.1)))
    }
    assert "ant 2" in found["class_prior_shift"]
    assert "So says the source-only network" in found["class_prior_shift"]


def test_a_shift_of_the_classes_is_told_with_the_shares() -> None:
    message = told(network(5, priors=(0.7, 0.1, 0.1, 0.1)))["class_prior_shift"]
    assert "ant 2" in message
    assert "to 7" in message or "to 6" in message


def test_a_class_that_is_not_there_is_named() -> None:
    given = network(6, priors=(0.4, 0.3, 0.3, 0.0))
    assert list(missing_classes(given.priors)) == [3]
    assert told(given)["missing_classes"].endswith("hardly any examples of dog.")
    assert list(missing_classes(network(6).priors)) == []


def test_rows_that_are_like_no_class_are_counted() -> None:
    given = network(5).outputs
    features, logits = given.target_features.copy(), given.target_logits.copy()
    features[:200], logits[:200] = -10, np.random.default_rng(0).normal(size=(200, 4))
    found = calibrate_outputs(replace(given, target_features=features, target_logits=logits))
    assert found is not None
    assert unknown_class_rate(found).target == pytest.approx(1 / 3, abs=0.08)
    assert unknown_class_rate(network(5)).target < 0.02
    assert "look like none of the classes" in told(found)["unknown_classes"]


@pytest.mark.parametrize(("classes", "rows"), [(10, 50), (31, 3), (40, 1)])
def test_few_rows_of_a_class_make_the_target_no_stranger_than_the_source(classes: int, rows: int) -> None:
    random, labels = np.random.default_rng(0), np.repeat(np.arange(classes), rows)

    def side() -> np.ndarray:
        found: np.ndarray = (2 * np.eye(classes)[labels] + random.normal(size=(len(labels), classes))).astype(np.float32)
        return found

    source, target = side(), side()
    centres = class_centroids(source, labels, classes)
    far = np.quantile(leave_one_out_distances(source, labels, centres), 0.98)
    assert (squared_distances(target, centres).min(axis=1) > far).mean() < 0.12


def test_predictions_of_one_class_are_a_collapse_and_no_missing_classes() -> None:
    found = told(network(9, predicted=np.zeros(600, np.int64)))
    assert "Only 1 of 4 classes" in found["collapsed_predictions"]
    assert "missing_classes" not in found


@pytest.mark.parametrize(
    ("curve", "code"),
    [((0.5, 0.52, 0.49, 0.5), "discriminator_at_chance"), ((0.6, 0.99, 1.0, 0.99), "discriminator_separates_domains")],
)
def test_a_discriminator_that_learned_nothing_or_was_never_fooled(curve: tuple[float, ...], code: str) -> None:
    assert [name for name in told(network(5), curve=curve) if name.startswith("discriminator")] == [code]


def test_a_discriminator_that_was_fooled_after_it_had_learned_is_as_it_should_be() -> None:
    assert told(network(5), curve=(0.5, 0.9, 0.7, 0.55, 0.5)) == {}


def test_negative_transfer_warning_lists_the_fired_rules() -> None:
    evidence = replace(CLEAR_GAIN, validators_in_favour=0.5, source_accuracy_drop=0.2)
    found = model_warnings(network(5), CLASSES, target_rows=1000, verdict=judge(evidence))
    assert [warn.code for warn in found] == ["negative_transfer", "validators_disagree"]
    assert "source_accuracy_drop 0.2 > 0.1" in found[0].message
