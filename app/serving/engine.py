"""The prediction engine: the ONNX Runtime sessions of the versions that were asked for lately. Knows no HTTP and no database."""

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.errors import ArtifactDamaged
from app.modalities import MODALITIES
from app.modalities.base import Encoded, Encoder, Modality, Preprocessing
from app.storage import Storage, digest_of

GRAPH = "model.onnx"
ROWS_AT_ONCE = 64  # bounds the memory of a large request's activations


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where an artifact is and what it must digest to (SHA-256)."""

    storage_key: str
    digest: str


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """What it takes to load a version."""

    version_id: UUID
    manifest: Mapping[str, Any]
    files: Mapping[str, StoredFile]


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is ready to predict; safe to use from several threads at once."""

    modality: Modality
    preprocessing: Preprocessing
    encode: Encoder
    classes: tuple[str, ...]
    session: onnxruntime.InferenceSession

    def probabilities(self, raw: Any) -> NDArray[np.float64]:
        """Raw inputs of the modality to class probabilities (n, classes)."""
        encoded = self.encode(raw)
        rows = len(next(iter(encoded.values())))
        batches = [self._logits(encoded, start) for start in range(0, rows, ROWS_AT_ONCE)]
        return softmax(np.concatenate(batches))

    def _logits(self, encoded: Encoded, start: int) -> NDArray[np.float32]:
        part = {name: values[start : start + ROWS_AT_ONCE] for name, values in encoded.items()}
        logits: NDArray[np.float32] = self.session.run(["logits"], part)[0]
        return logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (n, classes) of logits (n, classes)."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


@dataclass(slots=True)
class _Slot:
    """A place in the cache, empty until its version is loaded."""

    lock: Lock = field(default_factory=Lock)
    loaded: LoadedVersion | None = None


class PredictionEngine:
    """Keeps the `capacity` versions that were used last; a version is loaded once, however many ask for it at the same time."""

    def __init__(self, storage: Storage, threads: int, capacity: int) -> None:
        self._storage = storage
        self._threads = threads
        self._capacity = capacity
        self._slots: OrderedDict[UUID, _Slot] = OrderedDict()
        self._lock = Lock()

    def load(self, version: VersionFiles) -> LoadedVersion:
        """From the cache or from the storage. Raises ArtifactDamaged."""
        slot = self._slot(version.version_id)
        with slot.lock:  # those who come while it is being loaded wait here; after a failure the next one tries again
            if slot.loaded is None:
                slot.loaded = self._loaded(version)
            return slot.loaded

    def _slot(self, version_id: UUID) -> "_Slot":
        with self._lock:
            slot = self._slots.setdefault(version_id, _Slot())
            self._slots.move_to_end(version_id)
            while len(self._slots) > self._capacity:
                self._slots.popitem(last=False)
            return slot

    def _loaded(self, version: VersionFiles) -> LoadedVersion:
        modality = MODALITIES[version.manifest["modality"]]
        preprocessing = modality.preprocessing.model_validate(version.manifest["preprocessing"])
        with self._folder(version, preprocessing.files) as folder:
            encode = modality.encoder(preprocessing, folder)
        with self._file(version, GRAPH) as path:
            session = onnxruntime.InferenceSession(path, self._options(), providers=["CPUExecutionProvider"])
        return LoadedVersion(modality, preprocessing, encode, tuple(version.manifest["classes"]), session)

    def _options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # a thread that waits for work would otherwise spin on a core that another request needs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    @contextmanager
    def _folder(self, version: VersionFiles, names: tuple[str, ...]) -> Iterator[Path]:
        """A folder with the files that the preprocessing names, for as long as the block lasts."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name in names:
                shutil.copyfile(stack.enter_context(self._file(version, name)), folder / name)
            yield folder

    @contextmanager
    def _file(self, version: VersionFiles, name: str) -> Iterator[Path]:
        """An artifact on this machine, digest verified. Raises ArtifactDamaged."""
        stored = version.files.get(name)
        if stored is None or not self._storage.exists(stored.storage_key):
            raise ArtifactDamaged(f"The file {name} of this version is missing.")
        with self._storage.local(stored.storage_key) as path:
            if digest_of(path) != stored.digest:
                raise ArtifactDamaged(f"The file {name} of this version is not the one that its job stored.")
            yield path
