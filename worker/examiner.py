"""Asks a network about the same examples at every check: a sample of the held-out source and one of the target."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.batches import Examples
from worker.evidence import Evidence, Floats, Mixed
from worker.networks.base import Inputs, Network

ROWS = 512
BATCH = 256
SHARE = 0.55
"""Of the first picture in a mixture: Hu et al., ICLR 2024 (MixVal)."""


@dataclass
class Examiner:
    """`held_out` are indices of the source, `target` all target examples; what there is none of is left out."""

    source: Examples | None
    held_out: Tensor
    target: Examples | None
    classes: int
    device: torch.device
    seed: int
    rows: int = ROWS

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self._source_rows = _sample(self.held_out, self.rows, generator)
        self._target_rows = _sample(torch.arange(len(self.target) if self.target else 0), self.rows, generator)
        self._partners = torch.randperm(len(self._target_rows), generator=generator)

    @torch.inference_mode()
    def evidence(self, network: Network) -> Evidence:
        """What the network answers; it is left in evaluation mode."""
        network.eval()
        with network.source_statistics():
            source_features, source_logits = self._answers(network, self.source, self._source_rows)
        target_features, target_logits = self._answers(network, self.target, self._target_rows)
        return Evidence(
            source_features=source_features,
            source_logits=source_logits,
            source_labels=self._labels(),
            target_features=target_features,
            target_logits=target_logits,
            mixed=self._mixed(network),
        )

    def _labels(self) -> NDArray[np.int64]:
        if self.source is None or self.source.labels is None:
            return np.empty(0, np.int64)
        labels: NDArray[np.int64] = self.source.labels.cpu()[self._source_rows].numpy()
        return labels

    def _answers(self, network: Network, examples: Examples | None, rows: Tensor) -> tuple[Floats, Floats]:
        if examples is None or not len(rows):
            return np.empty((0, network.feature_width), np.float32), np.empty((0, self.classes), np.float32)
        return _answers(network, [examples.take(part, self.device)[0] for part in torch.split(rows, BATCH)])

    def _mixed(self, network: Network) -> Mixed | None:
        """Where inputs are numbers that can be averaged: pictures and tables without categories."""
        if self.target is None or self.target.lengths is not None or len(self._target_rows) < 2:
            return None
        first, second = self._target_rows, self._target_rows[self._partners]
        batches = []
        for one, other in zip(torch.split(first, BATCH), torch.split(second, BATCH), strict=True):
            (inputs, _), (others, _) = self.target.take(one, self.device), self.target.take(other, self.device)
            if any(values.dtype == torch.int64 for values in inputs.values()):
                return None
            batches.append({name: SHARE * values + (1 - SHARE) * others[name] for name, values in inputs.items()})
        _, logits = _answers(network, batches)
        return Mixed(logits, np.arange(len(first)), self._partners.numpy(), SHARE)


def _sample(indices: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """At most so many of the indices, in their order."""
    return indices[torch.randperm(len(indices), generator=generator)[:rows].sort().values]


def _answers(network: Network, batches: list[Inputs]) -> tuple[Floats, Floats]:
    """Features and logits of these batches."""
    features = [network.features(inputs) for inputs in batches]
    logits = [network.head(part) for part in features]
    return torch.cat(features).float().cpu().numpy(), torch.cat(logits).float().cpu().numpy()
