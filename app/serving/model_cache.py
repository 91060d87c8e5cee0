"""The loaded versions: the most recently used ones, up to a number of bytes. Independent of HTTP and of the database.

The memory of a session is estimated from its file: the resident size of the process also changes with every other request.
"""

from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from app.artifacts import GRAPHS, Precision
from app.serving.loaded_model import LoadedModel
from app.serving.model_loader import ModelLoader
from app.serving.version_files import VersionFiles


@dataclass(slots=True, eq=False)
class _CacheEntry:
    """An entry of the cache, empty until its version is loaded."""

    lock: Lock = field(default_factory=Lock)
    loaded: LoadedModel | None = None


class ModelCache:
    """An LRU cache of loaded versions. Concurrent requests for a version load it once."""

    def __init__(self, loader: ModelLoader, capacity_bytes: int) -> None:
        self._loader = loader
        self._capacity_bytes = capacity_bytes
        self._entries: dict[tuple[str, Precision], _CacheEntry] = {}
        self._lock = Lock()

    def get(self, key: tuple[str, Precision]) -> LoadedModel | None:
        """Return the loaded version with this key (`VersionFiles.key`), or None."""
        entry = self._entries.get(key)
        loaded = entry.loaded if entry else None
        if loaded is not None:
            loaded.last_used = monotonic()
        return loaded

    def load(self, version: VersionFiles) -> LoadedModel:
        """Return a version from the cache, or load it from the storage. Raise ArtifactCorrupt."""
        with self._lock:
            entry = self._entries.setdefault(version.key, _CacheEntry())
        with entry.lock:  # other callers wait here during the load; after a failure the next one tries again
            if entry.loaded is None:
                entry.loaded = self._loader.load(version)
            entry.loaded.last_used = monotonic()
            loaded = entry.loaded
        self._evict(loaded)
        return loaded

    def preload_replacement(self, old: VersionFiles, new: VersionFiles) -> None:
        """Load a version in its precision and in the loaded precisions of the old version. Raise ArtifactCorrupt."""
        for precision in GRAPHS:
            if precision == new.precision or (new.has(precision) and (old.version_id, precision) in self._entries):
                self.load(new.at(precision))

    def _evict(self, newest: LoadedModel) -> None:
        """Drop the least recently used versions; running predictions keep theirs until they end."""
        with self._lock:
            filled = [(entry.loaded, key) for key, entry in self._entries.items() if entry.loaded is not None]
            total = sum(loaded.size_bytes for loaded, _ in filled)
            for loaded, key in sorted(filled, key=lambda item: item[0].last_used):
                if total <= self._capacity_bytes:
                    break
                if loaded is not newest:
                    del self._entries[key]
                    total -= loaded.size_bytes
