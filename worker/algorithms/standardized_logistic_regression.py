"""Logistic regression on columns standardised per domain, as AdaBN does with features.

Li et al., 2016, https://arxiv.org/abs/1603.04779
"""

from app.algorithms.standardized_logistic_regression import StandardizedLogisticRegressionParams
from worker.algorithms.base import LinearMethod
from worker.plain.data import PlainData, fit_scale, fit_source_scale
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel


class StandardizedLogisticRegression(LinearMethod):
    """Each domain has a scale of its own."""

    params: StandardizedLogisticRegressionParams

    def fit(self, data: PlainData) -> PlainModel:
        source, target = fit_source_scale(data), fit_scale(data.target_rows, data.alignable)
        classifier = fit_linear(source.apply(data.source), data.labels, data.classes, self.options)
        return PlainModel(source, target, classifier)
