"""The network `cnn` and the discriminator in torch, as trained by the other PyTorch systems."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.training.speed.problem import RATE, Problem, accuracy, normalised

FEATURES = 256


def features() -> nn.Sequential:
    """Build the encoder from (n, 1, 28, 28) to (n, FEATURES)."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 48, 5, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(48), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(768, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Dropout(0.5)),
    )


def head() -> nn.Linear:
    return nn.Linear(FEATURES, 10)


def discriminator() -> nn.Sequential:
    """Build the discriminator from (n, FEATURES) to logits (n, 1)."""
    hidden = (nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(256, 1))


def optimizer(*modules: nn.Module) -> torch.optim.AdamW:
    """Return the fused AdamW for all systems, although no library selects it by default."""
    return torch.optim.AdamW(
        [weight for module in modules for weight in module.parameters()], RATE, weight_decay=1e-3, fused=True
    )


def images(values: NDArray[np.uint8]) -> Tensor:
    """Normalise images to (n, 1, 28, 28) float32."""
    return torch.from_numpy(normalised(values))[:, None]


@torch.inference_mode()
def accuracies(problem: Problem, network: Callable[[Tensor], Any]) -> tuple[float, float]:
    """Compute the test accuracies on source and target for a network in evaluation mode."""
    source, target = (network(images(values)).numpy() for values in (problem.source_test_x, problem.target_test_x))
    return accuracy(source, problem.source_test_y), accuracy(target, problem.target_test_y)
