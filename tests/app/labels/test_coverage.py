"""Intervals from few labels contain the truth about as often as they say, at every planned look."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from app.labels.intervals import Differences, StratumCounts, gain, labels_to_decide, mcnemar, proportion, stratified_proportion
from app.labels.measurement import AnsweredRow, StratumSize, measure
from app.labels.sampling import LOOKS, Stratum, accuracy_strata, both_strata, draw

DRAWS = 100
Truth = NDArray[np.bool_]
POPULATIONS: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], Truth]] = {
    "calibrated": lambda confidence, noise: noise < confidence,
    "overconfident": lambda confidence, noise: noise < confidence - 0.3,
    "nearly perfect": lambda confidence, noise: noise < 0.96,
    "uninformative confidence": lambda confidence, noise: noise < 0.6,
    "perfect confidence": lambda confidence, noise: confidence > 0.7,
}


def population(name: str, rows: int, seed: int = 0) -> tuple[NDArray[np.float64], Truth]:
    random = np.random.default_rng(seed)
    confidence = random.beta(5, 1.5, rows)
    return confidence, POPULATIONS[name](confidence, random.random(rows))


def accuracy_at(look: int, strata: list[Stratum], right: Truth, seed: int) -> tuple[float, float]:
    drawn = draw(strata, look, seed)
    labelled = np.bincount([row.stratum for row in drawn], minlength=len(strata))
    correct = np.bincount([row.stratum for row in drawn], [right[row.position] for row in drawn], len(strata))
    counts = [StratumCounts(len(one.members), int(n), int(k)) for one, n, k in zip(strata, labelled, correct, strict=True)]
    found = stratified_proportion(counts)
    return found.low, found.high


@pytest.mark.parametrize("rows", [120, 1000])
def test_accuracy_covers_the_truth_at_every_look(rows: int) -> None:
    shares = []
    for look in LOOKS:
        for name in POPULATIONS:
            confidence, right = population(name, rows)
            strata, truth = accuracy_strata(confidence), float(right.mean())
            ends = [accuracy_at(look, strata, right, seed) for seed in range(DRAWS)]
            shares.append(np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in ends]))
    assert np.mean(shares) > 0.89, shares
    assert min(shares) > 0.79, shares  # of 100 draws each


def test_strata_narrow_the_interval_where_confidence_is_informative() -> None:
    confidence, right = population("perfect confidence", 1000)
    low, high = accuracy_at(50, accuracy_strata(confidence), right, 0)
    simple = proportion(int(50 * right.mean()), 50)
    assert high - low < 0.7 * (simple.high - simple.low)


def test_gain_covers_the_truth_and_finds_no_wrong_sign() -> None:
    random = np.random.default_rng(0)
    wrong, covered, decided = 0, [], []
    for better in (0.8, 0.5, 0.65):
        signs = np.where(random.random(300) < 0.9, np.where(random.random(300) < better, 1, -1), 0)
        truth = signs.sum() / 1000
        for look in LOOKS:
            for _ in range(DRAWS):
                sample = random.choice(signs, look, replace=False)
                found = gain(Differences(1000, 300, look, int((sample == 1).sum()), int((sample == -1).sum())))
                covered.append(found.low <= truth <= found.high)
                wrong += (found.low > 0 > truth) or (found.high < 0 < truth)
                decided.append(found.low > 0)
    assert np.mean(covered) > 0.88
    assert wrong < 0.02 * len(covered)
    assert np.mean(decided) > 0.4


def test_labels_of_everything_leave_no_doubt() -> None:
    confidence, right = population("calibrated", 40)
    low, high = accuracy_at(40, accuracy_strata(confidence), right, 0)
    assert low == pytest.approx(float(right.mean()))
    assert high == pytest.approx(float(right.mean()))
    assert gain(Differences(100, 20, 20, 9, 5)).low == pytest.approx(0.04)


def test_number_of_labels_that_decide_suffices_if_they_look_alike() -> None:
    few = Differences(rows=1000, disputed=400, labelled=20, better=11, worse=7)
    assert gain(few).low < 0 < gain(few).high
    needed = labels_to_decide(few)
    scaled = Differences(1000, 400, needed, round(needed * 11 / 20) + 1, round(needed * 7 / 20))
    assert gain(scaled).low > 0
    assert labels_to_decide(Differences(1000, 400, 20, 8, 8)) == 400


@pytest.mark.parametrize(("better", "worse", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (10, 2, 0.0386), (1, 9, 0.0215)])
def test_mcnemar_is_the_exact_binomial_test(better: int, worse: int, expected: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(expected, abs=1e-4)


def test_one_label_serves_accuracy_and_gain() -> None:
    confidence, right = population("calibrated", 1000)
    random = np.random.default_rng(1)
    disputed = random.random(1000) < 0.3
    other_right = np.where(disputed, ~right & (random.random(1000) < 0.6), right)
    strata = both_strata(confidence, disputed)
    truth = float(right.mean()), float(right.mean() - other_right.mean())
    covered = []
    for seed in range(DRAWS):
        rows = [
            AnsweredRow(
                one.stratum,
                predicted="a" if right[one.position] else "b",
                source_only="a" if other_right[one.position] else ("c" if disputed[one.position] else "b"),
                label="a",
            )
            for one in draw(strata, 50, seed)
        ]
        found = measure(rows, [StratumSize(one.name, len(one.members)) for one in strata], 1000)
        assert found is not None
        assert found.accuracy is not None
        assert found.gain is not None
        covered.append((found.accuracy.low <= truth[0] <= found.accuracy.high, found.gain.low <= truth[1] <= found.gain.high))
    assert np.mean(covered, axis=0).min() > 0.86
