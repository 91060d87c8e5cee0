"""Agreement of the predictions with clusters of the features, adjusted for chance. Vinh et al., JMLR 2010."""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from worker.evaluation.clustering import clusters
from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return the adjusted mutual information of predicted target classes (m,) and k-means clusters of features (m, d).

    There are as many clusters as classes. 1 means equal, about 0 means chance. A network that predicts one class scores 0.
    """
    predicted = outputs.target_logits.argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    return float(adjusted_mutual_info_score(predicted, clusters(outputs.target_features, outputs.target_logits.shape[1])))
