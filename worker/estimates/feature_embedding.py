"""Features before and after adaptation: separability of the domains, and a two-dimensional layout.

The layout is t-SNE (van der Maaten and Hinton, JMLR 2008) by openTSNE (Policar et al., 2019, https://doi.org/10.1101/731877).
The layout after adaptation starts from the one before, so that both are comparable. The proxy A-distance is a diagnostic, not a
score: a representation may improve while its domains become more separable.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier

from worker.evaluation.clustering import l2_normalize
from worker.evaluation.outputs import Float32Array, ModelOutputs

EMBEDDING_ROWS = 500
"""Rows of each domain in the layout, which takes longer than the rest of the report."""
PCA_COMPONENTS = 30
RIDGE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def proxy_a_distance(source: Float32Array, target: Float32Array, seed: int = 0) -> float:
    """Return 2 (1 - 2 err) of a linear support vector machine between features (n, d) and (m, d): 0 to 2.

    Ganin et al., JMLR 2016, equation 3. err is the balanced error on the half of the rows that is not fitted, and the smallest
    over the ridge strengths. Raise ValueError with fewer than two rows of a domain.
    """
    if min(len(source), len(target)) < 2:
        raise ValueError("The proxy A-distance needs two rows of each domain.")
    rows = l2_normalize(np.concatenate([source, target]))
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
    domain = np.arange(len(rows)) >= len(source)
    order = np.random.default_rng(seed).permutation(len(rows))
    training = np.zeros(len(rows), bool)
    for side in (order[~domain[order]], order[domain[order]]):
        training[side[: len(side) // 2]] = True
    errors = []
    for strength in RIDGE_STRENGTHS:
        machine = SGDClassifier(
            loss="hinge", alpha=strength, class_weight="balanced", average=True, tol=None, max_iter=20, random_state=seed
        )
        wrong = machine.fit(rows[training], domain[training]).predict(rows[~training]) != domain[~training]
        errors.append((wrong[domain[~training]].mean() + wrong[~domain[~training]].mean()) / 2)
    return float(np.clip(2 * (1 - 2 * min(errors)), 0, 2))


def tsne_layout(features: Float32Array, start: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return positions (n, 2) of at least eight rows of features (n, d); `start` (n, 2) are the initial positions."""
    from openTSNE import TSNE  # it takes long to import, and only jobs with a target have a layout

    exaggerated, plain = (50, 120) if start is None else (0, 100)
    rows = PCA(min(PCA_COMPONENTS, *features.shape), random_state=0).fit_transform(features)
    initial = "pca" if start is None else start * 1e-2 / max(float(start[:, 0].std()), 1e-9)
    machine = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3.5),
        initialization=initial,
        early_exaggeration_iter=exaggerated,
        n_iter=plain,
        neighbors="exact",
        n_jobs=1,
        random_state=0,
    )
    return np.asarray(machine.fit(rows), np.float64)


def write_embedding(
    path: Path, before: ModelOutputs, after: ModelOutputs, classes: list[str], rows: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> int:
    """Write the layout of both networks' features as Parquet and return its number of rows.

    The columns are x_before, y_before, x_after, y_after, domain (source, target), class, row and disputed. The class is the label
    of a source row, and the class that the network after adaptation predicts for a target row. `row` is the number in the
    dataset, from `rows` of source and target. Of disputed rows the other network predicts another class.
    Both outputs must hold the same rows, of which at most EMBEDDING_ROWS of each domain are used. With fewer than eight rows,
    write nothing and return 0.
    """
    sides = [_evenly_spaced(len(rows)) for rows in (after.source_features, after.target_features)]
    count = sum(map(len, sides))
    if count < 8:
        return 0
    first, second = (
        np.concatenate([network.source_features[sides[0]], network.target_features[sides[1]]]) for network in (before, after)
    )
    positions = tsne_layout(first)
    moved = tsne_layout(second, positions)
    labels_before, labels_after = (
        np.concatenate([network.source_logits[sides[0]], network.target_logits[sides[1]]]).argmax(axis=1)
        for network in (before, after)
    )
    numbers = np.concatenate([after.source_labels[sides[0]], after.target_logits[sides[1]].argmax(axis=1)])
    table = {
        "x_before": positions[:, 0],
        "y_before": positions[:, 1],
        "x_after": moved[:, 0],
        "y_after": moved[:, 1],
        "domain": ["source"] * len(sides[0]) + ["target"] * len(sides[1]),
        "class": [classes[number] for number in numbers],
        "row": np.concatenate([rows[0][sides[0]], rows[1][sides[1]]]),
        "disputed": labels_before != labels_after,
    }
    pl.DataFrame(table).write_parquet(path)
    return count


def _evenly_spaced(count: int) -> NDArray[np.int64]:
    """Return at most EMBEDDING_ROWS evenly spaced indices below `count`: rows are often sorted by class."""
    return np.linspace(0, count - 1, min(EMBEDDING_ROWS, count)).astype(np.int64)
