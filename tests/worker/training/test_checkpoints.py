import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from app.storage import Storage
from tests.support.small_disk import mounted_disk
from worker.data.checkpoint_rotation import MAX_CHECKPOINTS
from worker.protocol.progress import BadParameters
from worker.training.checkpoints import Checkpoints, random_state, restore_random_state, seed_everything


def make(folder: Path, digest: str = "a", attempt: int = 1) -> tuple[Checkpoints, Storage]:
    storage = Storage(f"file://{folder}/storage")
    return Checkpoints(storage, f"jobs/j/{attempt}", folder, digest), storage


def test_full_disk_keeps_its_error(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", 1) as disk, pytest.raises(OSError, match="No space left"):
        make(disk)[0].save("7", {"w": torch.zeros(10**6)})


def test_saved_checkpoint_is_loaded(tmp_path: Path) -> None:
    checkpoints, storage = make(tmp_path)
    key = checkpoints.save("7", {"w": torch.ones(2), "step": 7})
    assert key == "jobs/j/1/checkpoint-7.pt"
    assert storage.exists(key)
    state = make(tmp_path, attempt=2)[0].load(key)
    assert state["step"] == 7
    assert torch.equal(state["w"], torch.ones(2))
    assert not list(tmp_path.glob("*.pt"))


def test_checkpoint_of_other_parameters_is_rejected(tmp_path: Path) -> None:
    key = make(tmp_path, digest="a")[0].save("1", {})
    with pytest.raises(BadParameters, match="other parameters"):
        make(tmp_path, digest="b")[0].load(key)


def test_older_checkpoints_are_deleted_after_a_new_one(tmp_path: Path) -> None:
    first = make(tmp_path)[0].save("1", {})
    checkpoints, storage = make(tmp_path, attempt=2)
    checkpoints.load(first)
    keys = [first, *(checkpoints.save(str(step), {}) for step in range(2, MAX_CHECKPOINTS + 3))]
    assert [storage.exists(key) for key in keys] == [False, False, *[True] * MAX_CHECKPOINTS]


def test_permanent_state_is_readable_by_jobs_with_equal_parameters(tmp_path: Path) -> None:
    checkpoints, storage = make(tmp_path)
    key = checkpoints.put("start", {"w": torch.ones(2)})
    other = make(tmp_path, attempt=2)[0]
    assert torch.equal(other.read(key)["w"], torch.ones(2))
    for each in (checkpoints, other):
        for step in range(2 * MAX_CHECKPOINTS):
            each.save(str(step), {})
    assert storage.exists(key)


def test_missing_and_invalid_checkpoints_raise_different_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make(tmp_path)[0].load("jobs/j/1/checkpoint-1.pt")


def test_reading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    checkpoints, storage = make(tmp_path)
    torch.save({"digest": "a", "step": 1, "state": {"path": Path("x")}}, tmp_path / "evil.pt")
    storage.put("jobs/j/1/checkpoint-1.pt", tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.load("jobs/j/1/checkpoint-1.pt")


def test_all_random_states_are_restored(tmp_path: Path) -> None:
    def draw() -> tuple[float, list[float], list[float]]:
        return random.random(), np.random.normal(size=3).tolist(), torch.rand(3).tolist()

    seed_everything(3)
    np.random.normal()  # leaves a second number behind, which belongs to the state
    checkpoints, _ = make(tmp_path)
    key = checkpoints.save("1", random_state())
    expected = draw()
    seed_everything(4)
    restore_random_state(checkpoints.load(key))
    assert draw() == expected
