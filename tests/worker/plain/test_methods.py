"""Requirements of every plain method. A new one is tested here without further code."""

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier

from app.algorithms import PARAMS
from worker import algorithms
from worker.plain.data import PlainData, Rows
from worker.plain.models import PlainModel

PLAIN = [name for name, params in PARAMS.items() if params.plain_kind]
LINEAR = [name for name in PLAIN if PARAMS[name].plain_kind == "linear"]


@cache
def digits(classes: int) -> tuple[PlainData, np.ndarray]:
    """Return digits with a target of less contrast, and the target's labels."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(labels < classes))[:600]
    source, target = np.array_split(chosen, 2)
    shifted = images[target] / 2 + np.random.default_rng(1).uniform(3, 6, (len(target), 1))
    data = PlainData(Rows(images[source]), labels[source], Rows(shifted), classes, np.ones(images.shape[1], np.bool_))
    return data, labels[target]


def fitted(name: str, data: PlainData) -> PlainModel:
    return algorithms.plain_method(PARAMS[name].model_validate({"algorithm": name})).fit(data)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("classes", [2, 4])
def test_method_learns_the_source_and_adapts_to_the_target(name: str, classes: int) -> None:
    data, truth = digits(classes)
    model = fitted(name, data)
    assert (model.source_probabilities(data.source).argmax(1) == data.labels).mean() > 0.95
    assert (model.target_probabilities(data.target_rows).argmax(1) == truth).mean() > algorithms.implementation(
        name
    ).toy_target_accuracy


@pytest.mark.parametrize("name", PLAIN)
def test_class_without_rows_is_never_predicted(name: str) -> None:
    data, _ = digits(4)
    rows = data.labels != 2
    few = PlainData(Rows(data.source.columns[rows]), data.labels[rows], data.target, 4, data.alignable)
    assert fitted(name, few).target_probabilities(data.target_rows)[:, 2].max() < 1e-3


@pytest.mark.parametrize("name", LINEAR)
def test_terms_alone_are_learned(name: str) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    terms = csr_array(np.eye(4)[2 * labels + random.integers(0, 2, 200)])
    rows = Rows(np.empty((200, 0)), terms)
    model = fitted(name, PlainData(rows, labels, rows, 2, np.ones(0, np.bool_)))
    assert (model.target_probabilities(rows).argmax(1) == labels).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_trees_compute_the_probabilities_of_scikit_learn(classes: int) -> None:
    data, _ = digits(classes)
    model = fitted("gradient_boosting", data)
    scaled = model.source_scale.apply(data.source).columns.astype(np.float32)
    original = HistGradientBoostingClassifier(max_depth=6, random_state=0).fit(scaled, data.labels)
    np.testing.assert_allclose(model.source_probabilities(data.source), original.predict_proba(scaled), atol=1e-6)
