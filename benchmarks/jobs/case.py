"""A measured kind of job."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.deployed_service import Client

REFERENCE = "benchmarks.jobs.reference"


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended job: the path of its type, and its representation."""

    kind: str
    job: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A job. `prepare` uploads its data once and returns what `run` needs; `run` submits the job and waits for its end.

    `reference` are the arguments of `benchmarks.jobs.reference` that do the same work with scikit-learn; empty without any.
    """

    name: str
    prepare: Callable[[Client, Path], dict[str, Any]]
    run: Callable[[Client, dict[str, Any]], Ended]
    reference: Callable[[Path], list[str]] = lambda folder: []
    max_seconds: float | None = None
    max_ratio: float | None = None


def adaptation(client: Client, params: dict[str, Any], **fields: Any) -> Ended:
    """Run an adaptation to its end. Raise AssertionError if it fails."""
    return Ended("jobs", client.run(params=params, **fields))
