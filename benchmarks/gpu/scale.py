"""The sizes of the check: full on a GPU, small on a CPU."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scale:
    """Rows and steps of the jobs. `limit_seconds` is the time in which the checks must start."""

    device: str
    network: dict[str, Any]
    rows: int
    steps: int
    encoder_rows: int
    candidates: tuple[str, ...]
    connections: tuple[int, ...]
    load_seconds: float
    limit_seconds: float

    @property
    def has_gpu(self) -> bool:
        """Return whether the check runs on a GPU."""
        return self.device == "cuda"


def full(device: str) -> Scale:
    """Return the sizes for a GPU: five to six minutes."""
    return Scale(device, {"network": "cnn"}, 9000, 1500, 2000, ("dann", "mcc"), (1, 8, 32, 128), 2.0, 330)


def small(device: str) -> Scale:
    """Return sizes that a CPU can do in less than a minute."""
    return Scale(device, {"network": "cnn", "input_size": 8}, 100, 10, 20, ("mcc",), (1, 8), 0.5, 300)
