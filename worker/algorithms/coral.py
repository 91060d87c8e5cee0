"""Correlation alignment of the columns.

Sun, Feng and Saenko, AAAI 2016, https://arxiv.org/abs/1511.05547
"""

from app.algorithms.coral import CoralParams
from worker.algorithms.base import LinearMethod
from worker.plain.alignment import coral_map
from worker.plain.data import PlainData, fit_scale, fit_source_scale
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel, mapped


class Coral(LinearMethod):
    """The source columns get the covariance of the target columns."""

    params: CoralParams

    def fit(self, data: PlainData) -> PlainModel:
        source, target = fit_source_scale(data), fit_scale(data.target_rows, data.alignable)
        rows = source.apply(data.source)
        matrix = coral_map(rows.columns, target.apply(data.target_rows).columns, self.params.ridge)
        classifier = fit_linear(mapped(rows, matrix), data.labels, data.classes, self.options)
        return PlainModel(source, target, classifier, matrix)
