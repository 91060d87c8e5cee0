"""Agreement of the predictions with clusters of the features. Rosenberg and Hirschberg, EMNLP 2007."""

import numpy as np
from sklearn.metrics import v_measure_score

from worker.evaluation.clustering import clusters
from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """V-measure of the target's predicted classes (m,) and as many k-means clusters of its features (m, d), 0 to 1.

    0 for a network that predicts one class only, also where its features are all the same.
    """
    predicted = outputs.target_logits.argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    found = clusters(outputs.target_features, outputs.target_logits.shape[1])
    return float(v_measure_score(predicted, found))
