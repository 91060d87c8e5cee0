import numpy as np
import pytest
from scipy.sparse import csr_array

from worker.estimates.domain_gap import domain_gaps
from worker.estimates.reverse_scores import ReverseValidation
from worker.plain.data import PlainData, Rows

COLUMNS = np.ones(4, np.bool_)


def domain(seed: int, offset: float = 0.0) -> tuple[Rows, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, 300)
    return Rows(2 * np.eye(4)[labels] + 0.5 * random.normal(size=(300, 4)) + offset), labels


def test_right_predictions_teach_the_source_and_random_ones_do_not() -> None:
    (source, labels), (target, truth) = domain(0), domain(1)
    reverse = ReverseValidation(PlainData(source, labels, target, 3, COLUMNS))
    right, random = reverse.scores(truth), reverse.scores(np.random.default_rng(2).permutation(truth))
    assert min(right.same_scale, right.learnable, right.neighbours) > 0.9
    assert max(random.same_scale, random.learnable, random.neighbours) < 0.6


def test_own_scale_ignores_an_offset_of_the_target() -> None:
    (source, labels), (target, truth) = domain(0), domain(1, offset=20.0)
    scores = ReverseValidation(PlainData(source, labels, target, 3, COLUMNS)).scores(truth)
    assert scores.own_scale > 0.9 > scores.same_scale


def test_texts_are_tested_by_their_terms() -> None:
    (source, labels), (target, truth) = domain(0), domain(1)
    first, second = (Rows(np.zeros((300, 0)), csr_array(np.abs(rows.columns))) for rows in (source, target))
    scores = ReverseValidation(PlainData(first, labels, second, 3, np.zeros(0, np.bool_))).scores(truth)
    assert min(scores.same_scale, scores.neighbours) > 0.9


@pytest.mark.parametrize(("offset", "expected"), [(0.0, 0.5), (5.0, 1.0)])
def test_domain_gap_is_chance_without_a_shift(offset: float, expected: float) -> None:
    same, own = domain_gaps(domain(0)[0], domain(1, offset)[0], COLUMNS)
    assert same == pytest.approx(expected, abs=0.08)
    assert own == pytest.approx(0.5, abs=0.08)
