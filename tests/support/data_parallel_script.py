"""Toy runs in each process that `torchrun` starts: `python -m tests.support.data_parallel_script FOLDER`.

Rank R writes the final weights and statistics of a case to `FOLDER/CASE-R.pt`. It writes the random numbers drawn for shared
rows, and after them, to `FOLDER/draws-R.pt`.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from tests.support.toy_problems import CPU, Toy, make_toy, toy_params
from worker.distributed.processes import Distributed, distributed_session
from worker.training.loop import train

SGD = {"optimizer": "sgd", "learning_rate": 0.01, "precision": "float32", "epochs": 1}
CASES: dict[str, dict[str, Any]] = {
    "dann": {"batch_norm": "domain", "ema_decay": 0.9},
    "cdan": {"batch_norm": "shared"},
    "mcc": {},
    "mcd": {},
    "jan": {"batch_size": 31},
    "shot": {},
    "adabn": {},
}
"""Methods with special batches, statistics or updates; 31 rows cannot be divided by two."""


def make(case: str, folder: Path) -> Toy:
    """Make a toy whose network has norms but no dropout, which would differ between processes."""
    toy = make_toy(folder, toy_params(case, **SGD, **CASES[case]), digits=True, sizes=(320, 320))
    for module in toy.run.algorithm.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return toy


def trained(toy: Toy) -> dict[str, Tensor]:
    """Train and return all weights and statistics."""
    with patch("worker.training.loop.EVALUATIONS_PER_RUN", 1):  # validators would take most of the time
        train(toy.run)
    return toy.run.algorithm.state_dict()


def draws(distributed: Distributed) -> tuple[Tensor, Tensor]:
    """Return random numbers that are drawn for a divided batch, and after it."""
    torch.manual_seed(0)
    with distributed.sharing():
        shared = distributed.split_batch(lambda rows: torch.rand_like(rows["rows"]), {"rows": torch.zeros(4, 10)})
    return shared, torch.rand(10)


def main(folder: Path) -> None:
    """Save the results of all cases."""
    with distributed_session(CPU) as distributed:
        torch.save(draws(distributed), folder / f"draws-{distributed.rank}.pt")
        for case in CASES:
            toy = make(case, folder)
            shared = replace(toy, run=replace(toy.run, runtime=replace(toy.run.runtime, distributed=distributed)))
            torch.save(trained(shared), folder / f"{case}-{distributed.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
