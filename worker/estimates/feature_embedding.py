"""A look at the features before and after adaptation: how far the domains can be told apart, and a picture of them.

The picture is t-SNE (van der Maaten and Hinton, JMLR 2008) by openTSNE (Policar et al., 2019, https://doi.org/10.1101/731877);
the layout after starts from the one before, so that the two can be compared. The distance is a diagnostic, not a score: a
representation may become better while its domains move apart.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from openTSNE import TSNE
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier

from worker.evaluation.clustering import l2_normalize
from worker.evaluation.outputs import Float32Array, ModelOutputs

EMBEDDING_ROWS = 1000
"""Of each domain in the picture."""
PCA_COMPONENTS = 30
RIDGE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def proxy_a_distance(source: Float32Array, target: Float32Array, seed: int = 0) -> float:
    """2 (1 - 2 err): 0 where a linear support vector machine cannot tell features (n, d) from (m, d), 2 where it always can.

    Ganin et al., JMLR 2016, equation 3. err is the least over the strengths of its ridge, on the half that it was not fitted to,
    and the mean over the domains, whatever their sizes. Raises ValueError with fewer than two rows of a domain.
    """
    if min(len(source), len(target)) < 2:
        raise ValueError("a distance needs two rows of each domain")
    rows = l2_normalize(np.concatenate([source, target]))
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
    domain = np.arange(len(rows)) >= len(source)
    order = np.random.default_rng(seed).permutation(len(rows))
    seen = np.zeros(len(rows), bool)
    for side in (order[~domain[order]], order[domain[order]]):
        seen[side[: len(side) // 2]] = True
    errors = []
    for strength in RIDGE_STRENGTHS:
        machine = SGDClassifier(
            loss="hinge", alpha=strength, class_weight="balanced", average=True, tol=None, max_iter=20, random_state=seed
        )
        wrong = machine.fit(rows[seen], domain[seen]).predict(rows[~seen]) != domain[~seen]
        errors.append((wrong[domain[~seen]].mean() + wrong[~domain[~seen]].mean()) / 2)
    return float(np.clip(2 * (1 - 2 * min(errors)), 0, 2))


def tsne_layout(features: Float32Array, start: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Places (n, 2) of features (n, d), at least eight; `start` (n, 2) is where the rows begin."""
    rows = PCA(min(PCA_COMPONENTS, *features.shape), random_state=0).fit_transform(features)
    initial = "pca" if start is None else start * 1e-2 / max(float(start[:, 0].std()), 1e-9)
    machine = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3.5),
        initialization=initial,
        early_exaggeration_iter=80,
        n_iter=200,
        neighbors="exact",
        n_jobs=1,
        random_state=0,
    )
    return np.asarray(machine.fit(rows), np.float64)


def write_embedding(path: Path, before: ModelOutputs, after: ModelOutputs, classes: list[str]) -> int:
    """The picture of both networks' features as Parquet; returns how many rows it has.

    The columns: x_before, y_before, x_after, y_after, domain (source, target), class: of the source its label, of the target
    what the network after says. Both must have been asked about the same rows, of which ROWS of each domain are taken. Writes
    nothing and returns 0 where there are fewer than eight.
    """
    sides = [_evenly_spaced(len(rows)) for rows in (after.source_features, after.target_features)]
    count = sum(map(len, sides))
    if count < 8:
        return 0
    first, second = (
        np.concatenate([network.source_features[sides[0]], network.target_features[sides[1]]]) for network in (before, after)
    )
    places = tsne_layout(first)
    moved = tsne_layout(second, places)
    numbers = np.concatenate([after.source_labels[sides[0]], after.target_logits[sides[1]].argmax(axis=1)])
    table = {
        "x_before": places[:, 0],
        "y_before": places[:, 1],
        "x_after": moved[:, 0],
        "y_after": moved[:, 1],
        "domain": ["source"] * len(sides[0]) + ["target"] * len(sides[1]),
        "class": [classes[number] for number in numbers],
    }
    pl.DataFrame(table).write_parquet(path)
    return count


def _evenly_spaced(count: int) -> NDArray[np.int64]:
    """At most ROWS places, evenly among so many: rows often come in the order of their classes."""
    return np.linspace(0, count - 1, min(EMBEDDING_ROWS, count)).astype(np.int64)
