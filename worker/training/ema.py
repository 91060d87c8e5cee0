"""A moving average of a network's weights.

Polyak and Juditsky, 1992; in the form of Tarvainen and Valpola, 2017, https://arxiv.org/abs/1703.01780
"""

from copy import deepcopy

import torch

from worker.networks.base import Network


class ExponentialMovingAverage:
    """An average that moves by 1 - decay per step, and faster in the first steps to forget the initial weights."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Include the weights and statistics after `step` (0, 1, ...)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for (name, own), live in zip(self.network.state_dict().items(), network.state_dict().values(), strict=True):
            if network.is_frozen and name.startswith("backbone."):
                continue
            if own.is_floating_point():
                own.lerp_(live, 1 - decay)
            else:
                own.copy_(live)
