"""The planned runs and their order."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from app.algorithms import PARAMS
from app.algorithms.base import AlgorithmParams
from benchmarks.adaptation.tasks import Task
from worker.data.sampling import num_steps
from worker.training.trials import BASELINE

METHOD_ORDER = (BASELINE, "mcc", "dann", "cdan", "self_training", "adabn", "bnm", "deep_coral", "mdd")


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """A planned run. `variant` names parameters that differ from the method's defaults. The task sets the steps."""

    task: Task
    skewed: bool
    params: AlgorithmParams
    variant: str
    steps: int

    @property
    def key(self) -> str:
        """A file name that changes with every parameter and default."""
        task = self.task.name + ("-skewed" if self.skewed else "")
        parts = [task, self.params.algorithm, self.variant, str(self.params.seed), self._digest]
        return "-".join(part for part in parts if part)

    @property
    def _digest(self) -> str:
        identity = [self.task.network, self.steps, self.params.model_dump(mode="json")]
        return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def reference(self) -> "BenchmarkRun":
        """The source-only run with defaults, from which this run starts or with which it is compared."""
        params = PARAMS[BASELINE].model_validate({"algorithm": BASELINE, "seed": self.params.seed})
        return BenchmarkRun(self.task, self.skewed, params, "", self.steps)

    def steps_for(self, rows: int) -> int:
        """Return the steps of the task, or fewer if the method needs fewer. `rows` is the size of the larger dataset."""
        return min(self.steps, num_steps(self.params, rows)) if self.params.needs_target else self.steps


def methods() -> list[str]:
    """Return all adaptation methods and the reference, the most important first."""
    selected = [
        name
        for name, params in PARAMS.items()
        if name == BASELINE or (params.needs_target and not params.is_search and not params.plain_kind)
    ]
    return sorted(selected, key=lambda name: (METHOD_ORDER.index(name) if name in METHOD_ORDER else len(METHOD_ORDER), name))


class Variant(NamedTuple):
    """Named parameters that are not the defaults of a method."""

    name: str
    settings: dict[str, Any]


def plan(
    tasks: Sequence[Task],
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    skews: Sequence[bool] = (False, True),
    steps: int | None = None,
    variant: Variant | None = None,
) -> Iterator[BenchmarkRun]:
    """Yield the runs by seed and method, so that an interrupted benchmark covers all tasks. Raise pydantic.ValidationError."""
    for seed in seeds:
        for name in names:
            values = {"algorithm": name, "seed": seed} | (variant.settings if variant else {})
            params = PARAMS[name].model_validate(values)
            for task in tasks:
                for skewed in skews:
                    yield BenchmarkRun(task, skewed, params, variant.name if variant else "", steps or task.steps)
