"""Self-training of a logistic regression on columns standardised per domain.

Scudder, IEEE Transactions on Information Theory 1965, https://doi.org/10.1109/TIT.1965.1053799
"""

from app.algorithms.self_trained_logistic_regression import SelfTrainedLogisticRegressionParams
from worker.algorithms.base import LinearMethod
from worker.plain.data import PlainData, fit_scale, fit_source_scale
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel
from worker.plain.pseudo_labels import self_train


class SelfTrainedLogisticRegression(LinearMethod):
    """Round r of R adds the r / R most confident target rows of each predicted class to the source."""

    params: SelfTrainedLogisticRegressionParams

    def fit(self, data: PlainData) -> PlainModel:
        source, target = fit_source_scale(data), fit_scale(data.target_rows, data.alignable)
        rows, unlabelled = source.apply(data.source), target.apply(data.target_rows)
        classifier = fit_linear(rows, data.labels, data.classes, self.options)
        classifier = self_train(rows, data.labels, unlabelled, classifier, self.options, self.params.rounds)
        return PlainModel(source, target, classifier)
