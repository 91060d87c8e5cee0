"""One step of training data."""

from dataclasses import dataclass

from torch import Tensor

from worker.networks.base import Inputs


@dataclass(slots=True)
class Batch:
    """One step's examples; of a domain that the algorithm does not need there are none. `progress` is p in [0, 1) of this run."""

    source_x: Inputs
    source_y: Tensor
    target_x: Inputs
    progress: float
