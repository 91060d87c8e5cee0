"""One step of training data."""

from dataclasses import dataclass

from torch import Tensor

from worker.networks.base import Inputs


@dataclass(slots=True)
class Batch:
    """Examples of one step; none of a domain that the algorithm does not need.

    `progress` is p in [0, 1) of this run; `augmentable` names the inputs that are images.
    """

    source_x: Inputs
    source_y: Tensor
    target_x: Inputs
    progress: float
    augmentable: frozenset[str] = frozenset()
