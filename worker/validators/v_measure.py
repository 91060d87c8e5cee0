"""Agreement of the predictions with clusters of the features. Rosenberg and Hirschberg, EMNLP 2007."""

import numpy as np
from sklearn.metrics import v_measure_score

from worker.evaluation.clustering import clusters
from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return the V-measure of predicted target classes (m,) and as many k-means clusters of features (m, d), 0 to 1.

    A network that predicts one class scores 0, also if all features are equal.
    """
    predicted = outputs.target_logits.argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    indices = clusters(outputs.target_features, outputs.target_logits.shape[1])
    return float(v_measure_score(predicted, indices))
