"""Agreement of the predictions with clusters of the features, less that of chance. Vinh et al., JMLR 2010."""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from worker.evaluation.clustering import clusters
from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Adjusted mutual information of the target's predicted classes (m,) and as many k-means clusters of its features (m, d).

    1 where they are the same, about 0 by chance; 0 for a network that predicts one class only.
    """
    predicted = outputs.target_logits.argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    return float(adjusted_mutual_info_score(predicted, clusters(outputs.target_features, outputs.target_logits.shape[1])))
