"""Each validator against the formula of its paper."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, homogeneity_completeness_v_measure

from tests.support.model_outputs import model_outputs
from worker import validators
from worker.evaluation.outputs import MixupOutputs, ModelOutputs
from worker.validators import dev

GIVEN = model_outputs(3)


def softmax(logits: np.ndarray) -> list[list[float]]:
    return [[math.exp(value) / sum(math.exp(other) for other in row) for value in row] for row in logits.astype(float)]


def reference_clusters(given: ModelOutputs) -> np.ndarray:
    rows = given.target_features / np.linalg.norm(given.target_features, axis=1, keepdims=True)
    indices: np.ndarray = KMeans(4, n_init=20, random_state=7).fit_predict(rows)
    return indices


def collapsed(given: ModelOutputs) -> ModelOutputs:
    return replace(given, target_logits=np.tile(np.array([9, 0, 0, 0], np.float32), (120, 1)))


def test_entropy() -> None:
    each = [-sum(share * math.log(share) for share in row) for row in softmax(GIVEN.target_logits)]
    assert validators.load("entropy")(GIVEN) == pytest.approx(-sum(each) / len(each))


def test_nuclear_norm_is_the_normalised_sum_of_singular_values() -> None:
    predictions = np.array(softmax(GIVEN.target_logits))
    roots = np.sqrt(np.linalg.eigvalsh(predictions.T @ predictions))
    assert validators.load("nuclear_norm")(GIVEN) == pytest.approx(roots.sum() / math.sqrt(120 * 4))
    perfect = replace(GIVEN, target_logits=(99 * np.eye(4)[np.arange(120) % 4]).astype(np.float32))
    assert validators.load("nuclear_norm")(perfect) == pytest.approx(1)


def test_v_measure_and_ami_compare_predictions_with_clusters() -> None:
    predicted, indices = GIVEN.target_logits.argmax(axis=1), reference_clusters(GIVEN)
    homogeneity, completeness, _ = homogeneity_completeness_v_measure(predicted, indices)
    together = 2 * homogeneity * completeness / (homogeneity + completeness)
    assert validators.load("v_measure")(GIVEN) == pytest.approx(together, abs=0.03)
    assert validators.load("ami")(GIVEN) == pytest.approx(adjusted_mutual_info_score(predicted, indices), abs=0.03)


def test_class_ami_starts_its_clusters_at_the_predicted_classes() -> None:
    rows = GIVEN.target_features / np.linalg.norm(GIVEN.target_features, axis=1, keepdims=True)
    predicted = GIVEN.target_logits.argmax(axis=1)
    centres = np.stack([rows[predicted == number].mean(axis=0) for number in range(4)])
    for _ in range(100):
        indices = np.square(rows[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        centres = np.stack([rows[indices == number].mean(axis=0) for number in range(4)])
    assert validators.load("class_ami")(GIVEN) == pytest.approx(adjusted_mutual_info_score(predicted, indices), abs=1e-6)


@pytest.mark.parametrize("name", ["v_measure", "ami", "class_ami", "nuclear_norm", "information_maximisation"])
def test_collapsed_network_scores_lower(name: str) -> None:
    score = validators.load(name)
    assert score(collapsed(GIVEN)) < score(GIVEN) - 0.1


def test_equal_features_score_zero() -> None:
    dead = replace(collapsed(GIVEN), target_features=np.zeros_like(GIVEN.target_features))
    assert [validators.load(name)(dead) for name in ("v_measure", "ami", "class_ami")] == [0, 0, 0]


def test_soft_neighbourhood_density() -> None:
    rows = np.array(softmax(GIVEN.target_logits[:12]))
    entropies = []
    for i, row in enumerate(rows):
        others = [row @ other / math.hypot(*row) / math.hypot(*other) for j, other in enumerate(rows) if j != i]
        weights = np.exp(np.array(others) / 0.05)
        weights = weights / weights.sum()
        entropies.append(-(weights * np.log(weights)).sum())
    small = replace(GIVEN, target_features=GIVEN.target_features[:12], target_logits=GIVEN.target_logits[:12])
    assert validators.load("snd")(small) == pytest.approx(np.mean(entropies), rel=1e-4)


def test_control_variate_removes_the_variance_of_the_weights() -> None:
    random = np.random.default_rng(0)
    weights = random.gamma(1, size=2000)
    losses = np.ones(2000) * 0.3
    assert np.mean(losses * weights) != pytest.approx(0.3, abs=1e-4)
    assert dev.risk(losses, weights) == pytest.approx(0.3)
    assert dev.risk(losses, np.ones(2000)) == pytest.approx(0.3)


def test_density_ratio_and_weighted_accuracy_follow_covariate_shift() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(0, 1, size=(4000, 1)), random.normal(0.5, 1, size=(3000, 1))
    ratio = dev.density_ratio(source.astype(np.float32), target.astype(np.float32))
    truth = np.exp(0.5 * source[:, 0] - 0.125)
    assert np.corrcoef(np.log(ratio), np.log(truth))[0, 1] > 0.99
    assert np.log(ratio).mean() == pytest.approx(np.log(truth).mean(), abs=0.1)

    logits = np.stack([np.zeros(4000), np.where(source[:, 0] > 1, 1.0, -1.0)], axis=1)  # wrong above 1, where the target is dense
    given = ModelOutputs(
        source.astype(np.float32),
        logits.astype(np.float32),
        np.zeros(4000, np.int64),
        target.astype(np.float32),
        np.zeros((3000, 2), np.float32),
    )
    assert validators.load("source_accuracy")(given) == pytest.approx(0.841, abs=0.02)
    assert validators.load("dev")(given) == pytest.approx((target[:, 0] <= 1).mean(), abs=0.04)


def test_mixval_expects_the_class_of_the_larger_weight() -> None:
    logits = 9 * np.eye(4, dtype=np.float32)[np.arange(120) % 4]
    first, second = np.array([0, 0, 1, 1, 2]), np.array([4, 8, 2, 3, 3])
    answers = np.eye(4, dtype=np.float32)[[0, 3, 1, 1, 3]]  # of two pairs inside a class one is kept, of three across two
    given = replace(GIVEN, target_logits=logits, mixup=MixupOutputs(answers, first, second, 0.55))
    score = validators.load("mixval")
    assert score(given) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert score(replace(given, mixup=MixupOutputs(answers, second, first, 0.45))) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert math.isnan(score(GIVEN))
    assert math.isnan(score(replace(collapsed(given), mixup=given.mixup)))
