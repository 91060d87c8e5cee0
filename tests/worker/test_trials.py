"""How the network is trained that a method is compared with, or takes over from; jobs resume trials in `test_adapt`."""

import io
import math
from pathlib import Path
from typing import Any

import pytest

from app.algorithms import PARAMS
from app.storage import Storage
from tests.worker.toys import CPU, table, table_network
from worker.checkpoints import Checkpoints
from worker.data import make_data
from worker.reporter import Reporter
from worker.trials import Trials, source_params


@pytest.mark.parametrize(
    ("algorithm", "said", "expected"),
    [
        ("adabn", {}, {"epochs": 20, "minimum_steps": 0}),
        ("tent", {"epochs": 7}, {"epochs": 7, "minimum_steps": 0}),
        ("adda", {"batch_size": 16}, {"learning_rate": 1e-3, "batch_size": 16}),
        ("adda", {"learning_rate": 0.01}, {"learning_rate": 0.01}),
        ("dann", {"seed": 3}, {"minimum_steps": 500, "seed": 3}),
    ],
)
def test_the_source_is_trained_as_the_method_but_for_how_it_takes_over(
    algorithm: str, said: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = source_params(PARAMS[algorithm].model_validate({"algorithm": algorithm, **said}))
    assert expected.items() <= found.model_dump().items()


@pytest.mark.parametrize(("algorithm", "steps"), [("adabn", 20 * 6), ("shot", 500), ("dann", 250)])
def test_a_method_takes_over_from_a_network_that_is_fully_trained(algorithm: str, steps: int, tmp_path: Path) -> None:
    params = PARAMS[algorithm].model_validate({"algorithm": algorithm, "batch_size": 32})
    data = make_data(table(200, 2, target=False), table(400, 2, target=True), None, params)
    checkpoints = Checkpoints(Storage(f"file://{tmp_path}/storage"), "jobs/a/1", tmp_path, "digest")
    trials = Trials(lambda: table_network(2), data, 2, CPU, Reporter(io.StringIO()), checkpoints, math.inf)
    reference = trials.reference(params, (0, 1))
    assert reference.steps == steps
    assert reference.scores["source_accuracy"] > 0.9
