"""Which runs there are, and in which order."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.algorithms import PARAMS
from app.algorithms.base import AlgorithmParams
from benchmarks.adaptation.tasks import Task
from worker.data.sampling import num_steps
from worker.training.trials import BASELINE

FIRST = (BASELINE, "mcc", "dann", "cdan", "self_training", "adabn", "bnm", "deep_coral", "mdd")


@dataclass(frozen=True, slots=True)
class Run:
    """One line of work. `variant` names parameters that are not the method's defaults; the task says how many steps there are."""

    task: Task
    skewed: bool
    params: AlgorithmParams
    variant: str
    steps: int

    @property
    def key(self) -> str:
        """A file name: a changed parameter or default makes a run another run."""
        task = self.task.name + ("-skewed" if self.skewed else "")
        parts = [task, self.params.algorithm, self.variant, str(self.params.seed), self._digest]
        return "-".join(part for part in parts if part)

    @property
    def _digest(self) -> str:
        identity = [self.task.network, self.steps, self.params.model_dump(mode="json")]
        return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def reference(self) -> "Run":
        """What the source alone gives, by defaults: what the run starts from or is compared with."""
        params = PARAMS[BASELINE].model_validate({"algorithm": BASELINE, "seed": self.params.seed})
        return Run(self.task, self.skewed, params, "", self.steps)

    def steps_for(self, rows: int) -> int:
        """The task's, but no more than a method wants that is done sooner; `rows` of the larger data set."""
        return min(self.steps, num_steps(self.params, rows)) if self.params.needs_target else self.steps


def methods() -> list[str]:
    """All that adapt to a target, and the reference, the most important first."""
    found = [name for name, params in PARAMS.items() if name == BASELINE or (params.needs_target and not params.is_search)]
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def plan(
    tasks: Sequence[Task],
    wanted: Sequence[str],
    seeds: Sequence[int],
    *,
    skews: Sequence[bool] = (False, True),
    steps: int | None = None,
    variant: str = "",
    settings: dict[str, Any] | None = None,
) -> Iterator[Run]:
    """Seed by seed, method by method: whenever it is stopped, all tasks are there. Raises pydantic.ValidationError."""
    for seed in seeds:
        for name in wanted:
            values = {"algorithm": name, "seed": seed} | (settings or {})
            params = PARAMS[name].model_validate(values)
            for task in tasks:
                for skewed in skews:
                    yield Run(task, skewed, params, variant, steps or task.steps)
