"""Boosted trees on the source."""

from app.algorithms.gradient_boosting import GradientBoostingParams
from worker.algorithms.base import TreeMethod
from worker.plain.data import PlainData, fit_scale
from worker.plain.models import PlainModel
from worker.plain.trees import fit_trees


class GradientBoosting(TreeMethod):
    """Both domains have the scale of the source."""

    toy_target_accuracy = 0.0

    params: GradientBoostingParams

    def fit(self, data: PlainData) -> PlainModel:
        scale = fit_scale(data.source, data.alignable)
        classifier = fit_trees(scale.apply(data.source).columns, data.labels, data.classes, self.options)
        return PlainModel(scale, scale, classifier)
