"""Loading of a version: verify its stored files, open a session, warm it up."""

import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from time import perf_counter

import numpy as np

from app.artifacts import GRAPHS
from app.modalities import MODALITIES
from app.modalities.base import Encoded, TensorSpec
from app.serving.loaded_model import WARM_UP_ROWS, LatencyProfile, LoadedModel, SingleArrayInput
from app.serving.onnx_session import Device, open_session, require_device, require_support, unchecked_run
from app.serving.version_files import VersionFiles
from app.storage import Storage

WARM_UP_LENGTH = 16
SESSION_BYTES = 4 * 1024**2
GRAPH_FACTOR = 2
"""A session holds the weights of its graph, and a second copy of some in the layout of its kernels."""


def _single_array_input(specs: Mapping[str, TensorSpec]) -> SingleArrayInput | None:
    (name, spec), *more = specs.items()
    if more or -1 in spec.shape:
        return None
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    return SingleArrayInput(name, dtype, spec.shape, dtype.itemsize * prod(spec.shape), dtype.kind == "f")


class ModelLoader:
    """A loader for one device. Raises DeviceUnavailableError if the installed ONNX Runtime does not support it."""

    def __init__(self, storage: Storage, threads: int, device: Device = "cpu") -> None:
        self._storage = storage
        self._threads = threads
        self._device = device
        require_support(device)

    def load(self, version: VersionFiles) -> LoadedModel:
        """Load a version in its precision and measure its latency. Raise ArtifactCorrupt, DeviceUnavailableError."""
        manifest = version.manifest
        modality = MODALITIES[manifest.modality]
        preprocessing = modality.preprocessing.model_validate(manifest.preprocessing)
        specs = modality.specs(preprocessing)
        with tempfile.TemporaryDirectory() as folder:
            version.copy(self._storage, preprocessing.files, Path(folder))
            encode = modality.encoder(preprocessing, Path(folder))
        with version.local(self._storage, GRAPHS[version.precision]) as path:
            session = open_session(path, self._threads, self._device, spin=False)  # spinning takes cores from other requests
            require_device(session, self._device)
            size_bytes = GRAPH_FACTOR * path.stat().st_size + SESSION_BYTES
        loaded = LoadedModel(
            model=version.model,
            number=version.number,
            modality=modality,
            preprocessing=preprocessing,
            encode=encode,
            fast_encode=modality.fast_encoder(preprocessing, encode),
            specs=specs,
            single_array=_single_array_input(specs),
            classes=tuple(manifest.classes),
            threshold=manifest.abstention_threshold,
            run_graph=unchecked_run(session),
            size_bytes=size_bytes,
        )
        loaded.latency = _warm_up(loaded)
        return loaded


def _warm_up(loaded: LoadedModel) -> LatencyProfile:
    """Run the slow first predictions, then measure the latency of the fastest ones."""
    single, batch = (_zeros(loaded.specs, rows) for rows in (1, WARM_UP_ROWS))
    loaded.logits(batch)
    return LatencyProfile(_seconds(loaded, single), _seconds(loaded, batch))


def _seconds(loaded: LoadedModel, encoded: Encoded) -> float:
    best = total = 0.0
    for _ in range(5):
        start = perf_counter()
        loaded.logits(encoded)
        seconds = perf_counter() - start
        best, total = min(best or seconds, seconds), total + seconds
        if total > 0.1:
            break
    return best


def _zeros(specs: Mapping[str, TensorSpec], rows: int) -> Encoded:
    return {
        name: np.zeros((rows, *(size if size >= 0 else WARM_UP_LENGTH for size in spec.shape)), spec.dtype)
        for name, spec in specs.items()
    }
