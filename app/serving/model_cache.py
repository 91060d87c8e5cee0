"""The prediction engine: the versions that were asked for lately, up to so many bytes. Knows no HTTP and no database.

What a session takes in memory is estimated from its file: the resident size of the process, which could be measured, moves
with every other request as well.
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
    """A place in the cache, empty until its version is loaded."""

    lock: Lock = field(default_factory=Lock)
    loaded: LoadedModel | None = None


class ModelCache:
    """Keeps the versions that were used last; a version is loaded once, however many ask for it at the same time."""

    def __init__(self, loader: ModelLoader, capacity_bytes: int) -> None:
        self._loader = loader
        self._capacity_bytes = capacity_bytes
        self._entries: dict[tuple[str, Precision], _CacheEntry] = {}
        self._lock = Lock()

    def get(self, key: tuple[str, Precision]) -> LoadedModel | None:
        """A version that is loaded (`VersionFiles.key`), at once."""
        slot = self._entries.get(key)
        loaded = slot.loaded if slot else None
        if loaded is not None:
            loaded.last_used = monotonic()
        return loaded

    def load(self, version: VersionFiles) -> LoadedModel:
        """From the cache or from the storage. Raises ArtifactCorrupt."""
        with self._lock:
            slot = self._entries.setdefault(version.key, _CacheEntry())
        with slot.lock:  # those who come while it is being loaded wait here; after a failure the next one tries again
            if slot.loaded is None:
                slot.loaded = self._loader.load(version)
            slot.loaded.last_used = monotonic()
            loaded = slot.loaded
        self._evict(loaded)
        return loaded

    def preload_replacement(self, old: VersionFiles, new: VersionFiles) -> None:
        """Load a version in its precision, and in whatever others of it the version before is here. Raises ArtifactCorrupt."""
        for precision in GRAPHS:
            if precision == new.precision or (new.has(precision) and (old.version_id, precision) in self._entries):
                self.load(new.at(precision))

    def _evict(self, newest: LoadedModel) -> None:
        """Drop what was not used for longest; predictions that run keep theirs until they end."""
        with self._lock:
            filled = [(slot.loaded, key) for key, slot in self._entries.items() if slot.loaded is not None]
            total = sum(loaded.size_bytes for loaded, _ in filled)
            for loaded, key in sorted(filled, key=lambda entry: entry[0].last_used):
                if total <= self._capacity_bytes:
                    break
                if loaded is not newest:
                    del self._entries[key]
                    total -= loaded.size_bytes
