"""Two processes that train together, against one that has the whole batch."""

import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.data_parallel_script import CASES, make, trained
from tests.support.paths import ROOT

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the results of two processes."""
    folder = tmp_path_factory.mktemp("together")
    command = [*TORCHRUN, "-m", "tests.support.data_parallel_script", str(folder)]
    subprocess.run(command, cwd=ROOT, timeout=240, check=True)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_the_same_network_as_one(case: str, two_processes: Path, tmp_path: Path) -> None:
    toy = make(case, tmp_path)
    before = {name: value.clone() for name, value in toy.run.algorithm.state_dict().items()}
    expected = trained(toy)
    first, second = (torch.load(two_processes / f"{case}-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in expected)
    weights = {name for name, _ in toy.run.algorithm.named_parameters()}
    for names in (weights, expected.keys() - weights):
        assert 1000 * distance(first, expected, names) <= distance(before, expected, names)


def distance(one: dict[str, Tensor], other: dict[str, Tensor], names: Set[str]) -> float:
    return float(torch.stack([(one[name].double() - other[name].double()).norm() for name in names]).norm())


def test_random_states_differ_within_a_batch_and_agree_afterwards(two_processes: Path) -> None:
    (shared, after), (others_shared, others_after) = (torch.load(two_processes / f"draws-{rank}.pt") for rank in (0, 1))
    assert torch.equal(shared, others_shared)
    assert len(shared.unique()) == shared.numel() == 40
    assert torch.equal(after, others_after)
