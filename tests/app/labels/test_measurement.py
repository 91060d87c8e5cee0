"""Draws of rows, and the figures of a request's answers: only at planned looks, with unclear rows left out."""

import numpy as np
import pytest

from app.labels.informative_rows import informative_rows
from app.labels.measurement import AnsweredRow, StratumSize, measure, next_look, reached_look
from app.labels.sampling import accuracy_strata, both_strata, draw, gain_strata, looks

STRATA = [StratumSize("confidence 1 of 1", 200)]


def row(label: str | None = "cat", *, unclear: bool = False, predicted: str = "cat") -> AnsweredRow:
    return AnsweredRow(0, predicted, "dog", label, unclear)


def test_every_look_has_each_stratum_by_its_share_without_replacement() -> None:
    confidence = np.random.default_rng(0).random(500)
    strata = accuracy_strata(confidence)
    drawn = draw(strata, 100, seed=3)
    assert len({one.position for one in drawn}) == 100
    for look in looks(100):
        assert set(np.bincount([one.stratum for one in drawn[:look]])) == {look // 5}
    assert drawn == draw(strata, 100, seed=3) != draw(strata, 100, seed=4)


def test_half_of_the_labels_for_both_are_disputed_as_far_as_there_are_disputed_rows() -> None:
    confidence, disputed = np.linspace(0, 1, 300), np.arange(300) % 3 == 0
    drawn = draw(both_strata(confidence, disputed), 60, seed=0)
    assert sum(disputed[one.position] for one in drawn) == 30
    few = np.arange(300) < 7
    assert sum(few[one.position] for one in draw(both_strata(confidence, few), 60, seed=0)) == 7
    assert [stratum.name for stratum in both_strata(confidence, few & ~few)] == [f"confidence {n} of 5" for n in range(1, 6)]
    assert len(draw(gain_strata(few), 60, seed=0)) == 7


def test_figures_change_only_at_planned_looks() -> None:
    rows = [row() for _ in range(40)]
    assert looks(40) == [20, 30, 40]
    open_rows = [*rows[:25], row(None), *rows[26:]]
    assert (reached_look(open_rows), next_look(open_rows)) == (20, 30)
    assert measure(rows[:19] + [row(None)] * 21, STRATA, 200) is None
    found = measure(open_rows, STRATA, 200)
    assert found is not None
    assert (found.look, found.labels, found.accuracy and found.accuracy.value) == (20, 20, 1.0)
    assert next_look(rows) is None


def test_unclear_rows_are_reported_and_not_counted() -> None:
    rows = [row(None, unclear=True)] * 5 + [row()] * 9 + [row("dog")] * 6
    found = measure(rows, STRATA, 200)
    assert found is not None
    assert (found.labels, found.unclear) == (15, 5)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.6)
    assert found.source_only_accuracy == pytest.approx(0.4)
    assert found.classes["cat"].recall.value == 1.0
    assert measure([row(None, unclear=True)] * 20, STRATA, 200) is None


@pytest.mark.parametrize(("label", "verdict"), [("cat", "yes"), ("dog", "no"), ("horse", "unsure")])
def test_labels_of_disputed_rows_give_a_verdict(label: str, verdict: str) -> None:
    found = measure([row(label)] * 20, [StratumSize("disputed", 80)], 200)
    assert found is not None
    assert (found.accuracy, found.verdict) == (None, verdict)
    assert (found.labels_to_decide is None) == (verdict != "unsure")


def test_informative_rows_have_small_margins_and_are_far_apart() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 50)
    components = (np.eye(4)[groups] * 10 + random.normal(0, 0.1, (200, 4))).astype(np.float32)
    margin = np.where(np.arange(200) % 50 < 5, 0.1, 0.9)
    chosen = informative_rows(margin, components, 4)
    assert sorted(groups[chosen]) == [0, 1, 2, 3]
    assert (margin[chosen] == 0.1).all()
    assert len(informative_rows(margin, components, 500)) == 200
