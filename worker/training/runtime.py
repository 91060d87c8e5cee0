"""The means of a process that trains, and the networks that its trials start with."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from app.networks.base import PlainKind
from worker.distributed.processes import Distributed
from worker.networks.base import Network
from worker.protocol.progress import BadParameters, ProgressReporter
from worker.training.checkpoints import Checkpoints


@dataclass(slots=True)
class TrainingRuntime:
    """The device and the process group of a training, and the destinations of its reports and checkpoints.

    `further_validators` score every check beside the validator of the job. Benchmarks compare them.
    """

    device: torch.device
    reporter: ProgressReporter
    checkpoints: Checkpoints
    checkpoint_seconds: float = math.inf
    distributed: Distributed = field(default_factory=Distributed)
    further_validators: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NetworkFactory:
    """Makes the networks of a job. `build_initial` makes the one that every trial starts with.

    `build_untrained` makes one with random weights. Without it both are the same. `build_plain` makes one for a plain method, or
    raises BadParameters if the job permits none.
    """

    classes: int
    build_initial: Callable[[], Network]
    build_untrained: Callable[[], Network] | None = None
    build_plain: Callable[[PlainKind], Network] | None = None

    def untrained(self) -> Network:
        """Return a network that has learned nothing."""
        return (self.build_untrained or self.build_initial)()

    def plain(self, kind: PlainKind) -> Network:
        """Return a network for a plain method of this kind. Raise BadParameters."""
        if self.build_plain is None:
            raise BadParameters("Plain methods are not possible for this job.")
        return self.build_plain(kind)
