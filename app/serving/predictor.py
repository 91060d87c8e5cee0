"""Predictions: from a model reference and encoded inputs to logits, for every protocol."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TypeVar
from weakref import WeakKeyDictionary, proxy

import numpy as np
from numpy.typing import NDArray

from app.artifacts import Precision
from app.auth.caller import Caller
from app.modalities.base import Encoded
from app.observability.counters import Counter, HistogramChild
from app.observability.metrics import PREDICTED_INPUTS, PREDICTION_SECONDS
from app.observability.version_statistics import STATISTICS, VersionStatistics
from app.serving.admission_control import EventLoopAdmission
from app.serving.dynamic_batcher import DynamicBatcher, QueuePolicy
from app.serving.loaded_model import WARM_UP_ROWS, LoadedModel, row_count
from app.serving.model_cache import ModelCache
from app.serving.model_resolver import ModelResolver
from app.serving.queue_delay_limiter import QueueDelayLimiter
from app.settings import Settings

Logits = NDArray[np.float32]
Raw = TypeVar("Raw")
Result = TypeVar("Result")

DEFAULT_MAX_BATCH = 64
BATCHING_GAIN_THRESHOLD = 0.7
"""Batches are used if a batched run takes less than this fraction of the time of single runs."""


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """Where predictions run. With `max_batch` 0, the warm-up of each version decides whether to batch."""

    inline_seconds: float
    max_batch: int
    queue: QueuePolicy

    @classmethod
    def of(cls, settings: Settings) -> "ServingPolicy":
        on_cores = 1 if settings.predict_device == "cuda" else len(os.sched_getaffinity(0)) // settings.predict_threads
        queue = QueuePolicy(
            concurrency=settings.predict_concurrency or max(1, on_cores),
            batch_delay_us=settings.predict_batch_delay_us,
            max_queue_size=settings.predict_max_queue_size,
            queue_timeout_seconds=settings.predict_queue_timeout_ms / 1e3,
            max_queue_delay_seconds=settings.predict_max_queue_delay_ms / 1e3,
        )
        return cls(settings.predict_inline_max_us / 1e6, settings.predict_max_batch, queue)


class Predictor:
    """The predictor of a process; its queues belong to one event loop.

    Small runs happen in the event loop itself, which is faster than a round trip to a thread. Requests that cannot be served in
    time are rejected before they are read, so that rejections cost little.
    """

    def __init__(self, resolver: ModelResolver, cache: ModelCache, policy: ServingPolicy) -> None:
        self.resolver = resolver
        self._cache, self._policy, self._inline_seconds = cache, policy, policy.inline_seconds
        self._threads = ThreadPoolExecutor(policy.queue.concurrency, "predict")
        self.admission = EventLoopAdmission(QueueDelayLimiter(policy.queue.max_queue_delay_seconds))
        self._encoder_slots = asyncio.Semaphore(policy.queue.concurrency)
        self._batchers: WeakKeyDictionary[LoadedModel, DynamicBatcher] = WeakKeyDictionary()

    def get_loaded(self, project: str, reference: str, precision: Precision | None = None) -> LoadedModel | None:
        """Return the version if it is cached and loaded. Raise PrecisionNotFound."""
        files = self.resolver.get_cached(project, reference)
        return self._cache.get(files.at(precision).key) if files else None

    def get_loaded_or_reject(self, project: str, reference: str, precision: Precision | None) -> LoadedModel | None:
        """Return the version if it is loaded. Raise PrecisionNotFound, and Overloaded if its queue is too long."""
        version = self.get_loaded(project, reference, precision)
        batcher = self._batchers.get(version) if version is not None else None
        if batcher is not None:
            batcher.check()
        return version

    async def load(self, caller: Caller, reference: str, precision: Precision | None = None) -> LoadedModel:
        """Return the version, loading it if necessary. Raise Forbidden, ModelNotFound, PrecisionNotFound, ArtifactCorrupt."""
        caller.require_model(reference)
        version = self.get_loaded(caller.project, reference, precision)
        return version if version is not None else await asyncio.to_thread(self._load, caller.project, reference, precision)

    def check_overload(self) -> None:
        """Raise Overloaded if the queue of any version is too long."""
        for batcher in list(self._batchers.values()):
            batcher.check()

    async def encode(self, version: LoadedModel, encode: Callable[[Raw], Result], raw: Raw) -> Result:
        """Encode the inputs in a thread. Raise InvalidInputs, and Overloaded if the queue of the version is too long."""
        async with self._encoder_slots:
            batcher = self._batchers.get(version)
            if batcher is not None:
                batcher.check()
            return await asyncio.to_thread(encode, raw)

    def submit(self, version: LoadedModel, encoded: Encoded) -> "Logits | asyncio.Future[Logits]":
        """Return the logits of a small run, or the future of a queued one. Raise InvalidInputs, Overloaded."""
        rows = row_count(encoded)
        if version.latency.estimate(rows) <= self._inline_seconds:
            return version.logits(encoded)
        batcher = self._batchers.get(version)
        if batcher is None:
            run = partial(LoadedModel.logits, proxy(version))  # a strong reference would keep the version alive for ever
            batcher = self._batchers[version] = DynamicBatcher(run, self._threads, self._queue_policy(version))
        return batcher.submit(encoded)

    def predict_sync(self, version: LoadedModel, encoded: Encoded) -> Logits | None:
        """Return the logits if the run is small enough for the event loop. Raise InvalidInputs."""
        return version.logits(encoded) if version.latency.estimate(row_count(encoded)) <= self._inline_seconds else None

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self, project: str, reference: str, precision: Precision | None) -> LoadedModel:
        return self._cache.load(self.resolver.resolve(project, reference).at(precision))

    def _queue_policy(self, version: LoadedModel) -> QueuePolicy:
        gains = version.latency.warm_batch < BATCHING_GAIN_THRESHOLD * WARM_UP_ROWS * version.latency.single
        return replace(self._policy.queue, max_batch=self._policy.max_batch or (DEFAULT_MAX_BATCH if gains else 1))


def record_metrics(version: LoadedModel, rows: int, seconds: float) -> None:
    """Record one completed request."""
    duration, inputs, statistics = _counters(version.modality.name, version.model, version.number)
    duration.observe(seconds)
    inputs.inc(rows)
    statistics.add(rows, seconds)


@lru_cache(1024)
def _counters(modality: str, model: str, number: int) -> tuple[HistogramChild, Counter, VersionStatistics]:
    return PREDICTION_SECONDS.labels(modality), PREDICTED_INPUTS.labels(modality), STATISTICS.of(model, number)
