"""One step of training data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from app.modalities.base import Augmentable
from worker.networks.base import Inputs


@dataclass(slots=True)
class Batch:
    """Examples of one step; none of a domain that the algorithm does not need.

    `progress` is p in [0, 1) of this run; `augmentable` are the inputs that may be augmented, by name.
    """

    source_x: Inputs
    source_y: Tensor
    target_x: Inputs
    progress: float
    augmentable: Mapping[str, Augmentable] = field(default_factory=dict)
