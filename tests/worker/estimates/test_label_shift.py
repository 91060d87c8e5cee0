import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from worker.estimates import label_shift
from worker.estimates.confusion import Confusion
from worker.evaluation.outputs import ModelOutputs

EVEN = np.full(4, 0.25)
SKEWED = np.array([0.45, 0.35, 0.15, 0.05])


def model_outputs(target: np.ndarray, *, rows: int = 2000, seed: int = 0) -> ModelOutputs:
    """Return outputs of the Bayes-optimal network for normal features; the target differs in its class priors only."""
    random = np.random.default_rng(seed)

    def side(priors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = random.choice(4, rows, p=priors)
        return (2 * (2 * np.eye(4)[labels] + random.normal(size=(rows, 4)))).astype(np.float32), labels

    (source, labels), (inputs, _) = side(EVEN), side(target)
    return ModelOutputs(source, source, labels, inputs, inputs)


def estimate(given: ModelOutputs) -> label_shift.ClassPriors:
    return label_shift.estimate_class_priors(given, given.source_probabilities, given.target_probabilities)


@pytest.mark.parametrize("seed", range(3))
def test_both_estimators_find_the_priors_and_detect_the_shift(seed: int) -> None:
    result = estimate(model_outputs(SKEWED, seed=seed))
    assert label_shift.total_variation(result.bbse, SKEWED) < 0.08
    assert label_shift.total_variation(result.em, SKEWED) < 0.05
    assert result.distance == pytest.approx(0.3, abs=0.06)
    assert result.shifted
    assert result.p_value < 0.02
    assert ((result.low <= result.bbse) & (result.bbse <= result.high)).all()


@pytest.mark.parametrize("seed", range(6))
def test_equal_priors_are_not_a_shift(seed: int) -> None:
    result = estimate(model_outputs(EVEN, seed=seed))
    assert not result.shifted
    assert result.distance < 0.06


def test_distance_explained_by_chance_is_not_a_shift() -> None:
    result = estimate(model_outputs(EVEN, rows=24, seed=1))
    assert result.distance > 0.05
    assert not result.shifted


def test_bbse_equals_the_constrained_least_squares_solution() -> None:
    random = np.random.default_rng(0)
    counts = np.diag([50.0, 80, 30]) + random.integers(0, 12, (3, 3)).astype(np.float64)
    predicted = np.array([90.0, 25, 10])
    source = counts.sum(axis=0) / counts.sum()
    within = (counts + 1 / 3) / (counts.sum(axis=0) + 1)

    def cost(priors: np.ndarray) -> float:
        distance = within @ priors - predicted / predicted.sum()
        return float(distance @ distance + label_shift.BBSE_RIDGE * ((priors - source) ** 2).sum())

    sums = {"type": "eq", "fun": lambda priors: priors.sum() - 1}
    expected: np.ndarray = minimize(cost, source, bounds=[(0, 1)] * 3, constraints=sums, tol=1e-12).x
    np.testing.assert_allclose(label_shift.bbse(counts, predicted), expected, atol=1e-3)


def test_priors_of_many_classes_equal_those_of_few() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 60, 900)
    confusion = Confusion.of(labels, np.where(random.random(900) < 0.6, labels, random.integers(0, 60, 900)), 60)
    predicted = np.bincount(random.integers(0, 20, 500), minlength=60).astype(np.float64)
    expected = label_shift.bbse(confusion.matrix().T, predicted)
    np.testing.assert_allclose(label_shift.bbse_of_many(confusion, predicted), expected, atol=1e-5)


def test_em_finds_the_maximum_likelihood_priors() -> None:
    random = np.random.default_rng(0)
    source = np.array([0.5, 0.3, 0.2])
    likelihoods = np.exp(random.normal(size=(300, 3)) * 2)
    target = likelihoods * source
    priors = target / target.sum(axis=1, keepdims=True)

    def cost(logits: np.ndarray) -> float:
        return float(-np.log(likelihoods @ softmax(logits)).mean())

    expected = softmax(minimize(cost, np.zeros(3), tol=1e-10).x)
    same = np.tile(source, (10, 1))  # a source whose mean prediction is its priors
    np.testing.assert_allclose(label_shift.em(source, same, priors), expected, atol=5e-3)


def test_too_many_classes_report_no_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_shift, "MAX_TESTED_CLASSES", 3)
    result = estimate(model_outputs(SKEWED))
    assert not result.shifted
    assert (result.low.tolist(), result.high.tolist(), result.p_value) == ([0.0] * 4, [1.0] * 4, 1.0)
    assert label_shift.total_variation(result.bbse, SKEWED) < 0.08
