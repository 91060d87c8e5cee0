"""A minimal DANN step in PyTorch with all known optimisations."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.training.speed import network, problem
from benchmarks.training.speed.problem import BATCH_SIZE, Problem
from benchmarks.training.speed.rounds import Rounds
from worker.training import mixed_precision


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * -problem.STRENGTH


class Lean:
    """Training on resident uint8 images: channels last, separate forward passes per domain, bfloat16 if faster."""

    def __init__(self, data: Problem) -> None:
        self.features = network.features().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head, self.discriminator = network.head(), network.discriminator()
        self._optimizer = network.optimizer(self.features, self.head, self.discriminator)
        self._source, self._labels = torch.from_numpy(data.source_x), torch.from_numpy(data.source_y)
        self._target = torch.from_numpy(data.target_x)
        self._domains = torch.cat([torch.ones(BATCH_SIZE), torch.zeros(BATCH_SIZE)])
        self._bfloat16 = mixed_precision.is_faster()

    def step(self, rows: Tensor) -> None:
        """Train on these rows of source and target."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            source, target = self._features(self._source[rows]), self._features(self._target[rows])
            logits = self.head(source).float()
            domains = self.discriminator(Reversal.apply(torch.cat([source, target]))).squeeze(1).float()  # type: ignore[no-untyped-call]
        loss = F.cross_entropy(logits, self._labels[rows]) + F.binary_cross_entropy_with_logits(domains, self._domains)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.features((images[..., None] * (1 / 127.5) - 1).permute(0, 3, 1, 2))
        return features


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, round_steps = problem.from_command_line()
    lean, rounds = Lean(data), Rounds(round_steps)
    for rows in torch.randperm(len(data.source_x)).view(-1, BATCH_SIZE):
        lean.step(rows)
        rounds.step()
    lean.features.eval()
    rounds.end(*network.accuracies(data, nn.Sequential(lean.features, lean.head)))


if __name__ == "__main__":
    main()
