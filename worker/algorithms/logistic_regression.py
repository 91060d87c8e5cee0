"""Logistic regression on the source."""

from app.algorithms.logistic_regression import LogisticRegressionParams
from worker.algorithms.base import LinearMethod
from worker.plain.data import PlainData, fit_scale
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel


class LogisticRegression(LinearMethod):
    """Both domains have the scale of the source."""

    toy_target_accuracy = 0.0

    params: LogisticRegressionParams

    def fit(self, data: PlainData) -> PlainModel:
        scale = fit_scale(data.source, data.alignable)
        classifier = fit_linear(scale.apply(data.source), data.labels, data.classes, self.options)
        return PlainModel(scale, scale, classifier)
