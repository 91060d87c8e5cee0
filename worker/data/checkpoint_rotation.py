"""The rotation of an attempt's checkpoints. Imports no torch."""

from app.storage import Storage

MAX_CHECKPOINTS = 3


class CheckpointRotation:
    """Keeps the last few checkpoints: the database may still name one that is not the newest."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._keys: list[str] = []

    def add(self, key: str) -> None:
        """Register a stored checkpoint as the newest and delete the oldest ones beyond the maximum."""
        self._keys = [other for other in self._keys if other != key] + [key]
        while len(self._keys) > MAX_CHECKPOINTS:
            self._storage.delete(self._keys.pop(0))
