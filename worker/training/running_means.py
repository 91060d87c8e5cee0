"""Means of a run's values between two reports."""

from collections import defaultdict

import torch
from torch import Tensor


class RunningMeans:
    """Means of values over the steps since the last report; the values stay on their device until then."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor | float]] = defaultdict(list)

    def add(self, values: dict[str, Tensor | float]) -> None:
        """Add the values of a step."""
        for name, value in values.items():
            self._values[name].append(value.detach() if isinstance(value, Tensor) else value)

    def state_dict(self) -> dict[str, list[float]]:
        """Return the values for a checkpoint."""
        return {name: [float(value) for value in values] for name, values in self._values.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Continue with the values of a checkpoint."""
        self._values = defaultdict(list, {name: list(values) for name, values in state.items()})

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {
            name: float(torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values]).mean())
            for name, values in self._values.items()
        }
        self._values.clear()
        return means
