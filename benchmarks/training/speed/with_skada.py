"""DANN by skada, with another discriminator: its default one has a softmax over one unit and learns nothing."""

from typing import Any

import numpy as np
import torch
from skada.deep import DANN  # type: ignore[import-not-found]
from skada.deep.modules import GradientReversalLayer  # type: ignore[import-not-found]
from skorch.callbacks import Callback  # type: ignore[import-not-found]
from torch import Tensor, nn

from benchmarks.training.speed import network, problem
from benchmarks.training.speed.problem import BATCH_SIZE, RATE
from benchmarks.training.speed.rounds import Rounds


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = network.features(), network.head()

    def forward(self, values: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.features(values))
        return logits


class DomainClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = network.discriminator()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(GradientReversalLayer.apply(features, problem.STRENGTH))
        return logits.squeeze(1).sigmoid()


class Steps(Callback):  # type: ignore[misc]
    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def on_batch_end(self, net: Any, **event: Any) -> None:
        if event["training"]:
            self._rounds.step()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, round_steps = problem.from_command_line()
    rounds = Rounds(round_steps)
    net = DANN(
        Base(),
        "features",
        domain_classifier=DomainClassifier(),
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        optimizer__weight_decay=1e-3,
        lr=RATE,
        batch_size=BATCH_SIZE,
        max_epochs=1,
        train_split=None,
        callbacks=[Steps(rounds)],
        verbose=0,
    )
    rows = len(data.source_x)
    values = torch.cat([network.images(data.source_x), network.images(data.target_x)]).numpy()
    labels = np.concatenate([data.source_y, np.full(rows, -1)])
    net.fit(values, labels, sample_domain=np.repeat([1, -2], rows))
    rounds.end(*network.accuracies(data, net.module_.base_module_.eval()))


if __name__ == "__main__":
    main()
