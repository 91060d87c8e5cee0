"""Source hypothesis transfer.

Liang et al., ICML 2020, https://arxiv.org/abs/2002.08546
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from app.algorithms.shot import ShotParams
from worker.algorithms.base import SourceFree, Terms
from worker.data.batch import Batch
from worker.evaluation.outputs import ModelOutputs
from worker.losses.predictions import class_centroids, information_maximisation, nearest_centroid
from worker.networks.base import Network


class Shot(SourceFree):
    """E = E H(p) + log K - H(E p) + beta CE(p, y), y the class of the nearest centroid of the target's features.

    The head is frozen. Centroids are computed at every evaluation from a sample of the target. Before the first one, y is
    argmax p.
    """

    params: ShotParams
    centroids: Tensor

    def __init__(self, network: Network, params: ShotParams, classes: int) -> None:
        super().__init__(network, params, classes)
        network.head.requires_grad_(False)
        self.register_buffer("centroids", torch.zeros(classes, network.feature_width))

    def terms(self, batch: Batch) -> Terms:
        target = self.compute_outputs(batch.target_x)
        entropy, diversity = information_maximisation(target.logits)
        nearest = nearest_centroid(target.features.detach(), self.centroids)
        labels = torch.where(self.centroids.any(), nearest, target.logits.argmax(1))
        pseudo_labels = self.params.pseudo_label_weight * F.cross_entropy(target.logits, labels)
        return {"entropy": entropy, "diversity": diversity, "pseudo_labels": pseudo_labels}

    def on_evaluation(self, outputs: ModelOutputs) -> None:
        """Compute centroids weighted by the predictions, then the centroids of the examples nearest to each."""
        features = torch.from_numpy(outputs.target_features)
        first = class_centroids(features, torch.from_numpy(outputs.target_logits).softmax(1))
        labels = F.one_hot(nearest_centroid(features, first), self.classes).float()
        second = class_centroids(features, labels)
        self.centroids.copy_(torch.where(labels.any(0).unsqueeze(1), second, first))
