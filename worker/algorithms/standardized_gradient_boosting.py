"""Boosted trees on columns standardised per domain, as AdaBN does with features.

Li et al., 2016, https://arxiv.org/abs/1603.04779
"""

from app.algorithms.standardized_gradient_boosting import StandardizedGradientBoostingParams
from worker.algorithms.base import TreeMethod
from worker.plain.data import PlainData, fit_scale, fit_source_scale
from worker.plain.models import PlainModel
from worker.plain.trees import fit_trees


class StandardizedGradientBoosting(TreeMethod):
    """Each domain has a scale of its own."""

    toy_target_accuracy = 0.7

    params: StandardizedGradientBoostingParams

    def fit(self, data: PlainData) -> PlainModel:
        source, target = fit_source_scale(data), fit_scale(data.target_rows, data.alignable)
        classifier = fit_trees(source.apply(data.source).columns, data.labels, data.classes, self.options)
        return PlainModel(source, target, classifier)
