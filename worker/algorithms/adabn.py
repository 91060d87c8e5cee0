"""Adaptive batch normalisation.

Li et al., 2016, https://arxiv.org/abs/1603.04779
"""

import torch

from app.algorithms.adabn import AdabnParams
from worker.algorithms.base import SourceFree, Terms, Update
from worker.data.batch import Batch
from worker.losses.predictions import entropies
from worker.networks.base import Network, batch_norms
from worker.protocol.progress import BadParameters


class Adabn(SourceFree):
    """y = gamma (x - mean_t) / sqrt(var_t) + beta in every batch norm; the entropy of the predictions is only reported."""

    params: AdabnParams

    def __init__(self, network: Network, params: AdabnParams, classes: int) -> None:
        super().__init__(network, params, classes)
        if not batch_norms(network):
            raise BadParameters("`adabn` updates batch-norm statistics, but this network has no batch norm.")

    def terms(self, batch: Batch) -> Terms:
        return {"entropy": entropies(self.compute_outputs(batch.target_x).logits).mean()}

    def step(self, batch: Batch, descend: Update) -> Terms:
        """Run the forward pass only; the weights do not change."""
        with torch.no_grad():
            return self.terms(batch)
