"""Checkpoints: the whole state that a run needs to continue to the same result.

They hold only tensors, numbers and strings and are loaded with `weights_only=True`, so reading one runs no code.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.storage import Storage
from worker.data.checkpoint_rotation import CheckpointRotation
from worker.protocol.progress import BadParameters


class Checkpoints:
    """The checkpoints of one attempt, under `prefix` in the storage."""

    def __init__(self, storage: Storage, prefix: str, folder: Path, digest: str) -> None:
        """Take the digest of the job's parameters; checkpoints with another digest are refused."""
        self._storage, self._prefix, self._folder, self._digest = storage, prefix, folder, digest
        self._rotation = CheckpointRotation(storage)

    def save(self, name: str, state: dict[str, Any]) -> str:
        """Store the state, delete all but the last few older ones, and return the key."""
        key = self.put(f"checkpoint-{name}", state)
        self._rotation.add(key)
        return key

    def put(self, name: str, state: dict[str, Any]) -> str:
        """Store a state that is kept as long as the job, and return its key."""
        path, key = self._folder / "checkpoint.pt", f"{self._prefix}/{name}.pt"
        _save({"digest": self._digest, "state": state}, path)
        self._storage.put(key, path)
        path.unlink()
        return key

    def load(self, key: str) -> dict[str, Any]:
        """Read a checkpoint and rotate it with those that are saved later. Raise the errors of `read`."""
        state = self.read(key)
        self._rotation.add(key)
        return state

    def read(self, key: str) -> dict[str, Any]:
        """Return the stored state. Raise FileNotFoundError, or BadParameters if it was made with other parameters."""
        with self._storage.open(key) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        if content["digest"] != self._digest:
            raise BadParameters("The checkpoint was made with other parameters and cannot be resumed. Submit a new job.")
        state: dict[str, Any] = content["state"]
        return state


def _save(content: dict[str, Any], path: Path) -> None:
    """Write the file. Raise the OSError of a full disk, which torch hides behind one of its own."""
    with path.open("wb") as file:  # given a path, torch does not even keep it as the context
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def random_state() -> dict[str, Any]:
    """Return the states of all random number generators."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set all random number generators to these states."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed: int) -> None:
    """Seed all random number generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
