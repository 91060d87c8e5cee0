"""Weighting of source rows by their likeness to the target.

Bickel, Brueckner and Scheffer, JMLR 2009, https://www.jmlr.org/papers/v10/bickel09a.html
"""

from app.algorithms.importance_weighting import ImportanceWeightingParams
from worker.algorithms.base import LinearMethod
from worker.plain.data import PlainData, fit_scale
from worker.plain.importance import importance_weights
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel


class ImportanceWeighting(LinearMethod):
    """Both domains have the scale of the source; a row counts by its odds of being from the target."""

    toy_target_accuracy = 0.0

    params: ImportanceWeightingParams

    def fit(self, data: PlainData) -> PlainModel:
        scale = fit_scale(data.source, data.alignable)
        rows = scale.apply(data.source)
        weights = importance_weights(rows, scale.apply(data.target_rows), self.options.inverse_regularization)
        classifier = fit_linear(rows, data.labels, data.classes, self.options, weights)
        return PlainModel(scale, scale, classifier)
