"""ClassAMI.

Musgrave et al., 2022, https://arxiv.org/abs/2208.07360
"""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from worker.evaluation.clustering import class_centroids, clusters
from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return the adjusted mutual information of predicted target classes (m,) and k-means clusters of features (m, d).

    Like `ami`, but k-means starts at the centroids of the predicted classes.
    """
    features, classes = outputs.target_features, outputs.target_logits.shape[1]
    predicted = outputs.target_logits.argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    indices = clusters(features, classes, class_centroids(features, predicted, classes))
    return float(adjusted_mutual_info_score(predicted, indices))
