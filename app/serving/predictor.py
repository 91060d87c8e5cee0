"""Predictions: from a model reference and encoded inputs to logits, whatever protocol they came by."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeVar
from weakref import WeakKeyDictionary, proxy

import numpy as np
from numpy.typing import NDArray

from app.artifacts import Precision
from app.modalities.base import Encoded
from app.observability.counters import Counter, HistogramChild
from app.observability.metrics import PREDICTED_INPUTS, PREDICTION_SECONDS
from app.serving.admission_control import EventLoopAdmission
from app.serving.dynamic_batcher import DynamicBatcher, QueuePolicy
from app.serving.loaded_model import WARM_UP_ROWS, LoadedModel, row_count
from app.serving.model_cache import ModelCache
from app.serving.model_resolver import ModelResolver
from app.serving.queue_delay_limiter import QueueDelayLimiter
from app.settings import Settings

Logits = NDArray[np.float32]
Raw = TypeVar("Raw")

DEFAULT_MAX_BATCH = 64
BATCHING_GAIN_THRESHOLD = 0.7
"""Of the time of single runs: a joined run that takes longer is not worth the wait for one another."""


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """Where predictions run. `max_batch` 0: as the warm-up of each version advises."""

    inline_seconds: float
    max_batch: int
    queue: QueuePolicy

    @classmethod
    def of(cls, settings: Settings) -> "ServingPolicy":
        on_cores = 1 if settings.predict_device == "cuda" else len(os.sched_getaffinity(0)) // settings.predict_threads
        limits = QueuePolicy(
            concurrency=settings.predict_concurrency or max(1, on_cores),
            batch_delay_us=settings.predict_batch_delay_us,
            max_queue_size=settings.predict_max_queue_size,
            queue_timeout_seconds=settings.predict_queue_timeout_ms / 1e3,
            max_queue_delay_seconds=settings.predict_max_queue_delay_ms / 1e3,
        )
        return cls(settings.predict_inline_max_us / 1e6, settings.predict_max_batch, limits)


class Predictor:
    """One for a process; its queues belong to one event loop.

    Small runs happen in the event loop itself, which is quicker than to hand them to a thread and back: what they wait for is
    the loop. What cannot be answered in time is refused before anything is done for it: a server that reads all that it refuses
    has no time for the rest.
    """

    def __init__(self, resolver: ModelResolver, cache: ModelCache, policy: ServingPolicy) -> None:
        self.resolver = resolver
        self._cache, self._policy, self._inline_seconds = cache, policy, policy.inline_seconds
        self._threads = ThreadPoolExecutor(policy.queue.concurrency, "predict")
        self.admission = EventLoopAdmission(QueueDelayLimiter(policy.queue.max_queue_delay_seconds))
        self._encoder_slots = asyncio.Semaphore(policy.queue.concurrency)
        self._batchers: WeakKeyDictionary[LoadedModel, DynamicBatcher] = WeakKeyDictionary()

    def get_loaded(self, reference: str, precision: Precision | None = None) -> LoadedModel | None:
        """A version that is known and loaded, at once. Raises PrecisionNotFound."""
        files = self.resolver.get_cached(reference)
        return self._cache.get(files.at(precision).key) if files else None

    def get_loaded_or_reject(self, reference: str, precision: Precision | None) -> LoadedModel | None:
        """The same, to be asked at once. Raises PrecisionNotFound; Overloaded where too much waits for it already."""
        version = self.get_loaded(reference, precision)
        lane = self._batchers.get(version) if version is not None else None
        if lane is not None:
            lane.check()
        return version

    async def load(self, reference: str, precision: Precision | None = None) -> LoadedModel:
        """Raises ModelNotFound, PrecisionNotFound, ArtifactCorrupt."""
        version = self.get_loaded(reference, precision)
        return version if version is not None else await asyncio.to_thread(self._load, reference, precision)

    def check_overload(self) -> None:
        """Raises Overloaded where requests already wait too long for the threads, whichever version they are for."""
        for lane in list(self._batchers.values()):
            lane.check()

    async def encode(self, version: LoadedModel, encode: Callable[[Raw], Encoded], raw: Raw) -> Encoded:
        """What a thread makes of the inputs. Raises InvalidInputs; Overloaded, before, where they would wait too long then."""
        async with self._encoder_slots:
            lane = self._batchers.get(version)
            if lane is not None:
                lane.check()
            return await asyncio.to_thread(encode, raw)

    def submit(self, version: LoadedModel, encoded: Encoded) -> "Logits | asyncio.Future[Logits]":
        """The logits, or, of a larger run, the place in the queue. Raises InvalidInputs, Overloaded."""
        rows = row_count(encoded)
        if version.latency.estimate(rows) <= self._inline_seconds:
            return version.logits(encoded)
        lane = self._batchers.get(version)
        if lane is None:
            run = partial(LoadedModel.logits, proxy(version))  # a lane that held its version would keep it for ever
            lane = self._batchers[version] = DynamicBatcher(run, self._threads, self._queue_policy(version))
        return lane.submit(encoded)

    def predict_sync(self, version: LoadedModel, encoded: Encoded) -> Logits | None:
        """The logits, unless the run is one for a thread. Raises InvalidInputs."""
        return version.logits(encoded) if version.latency.estimate(row_count(encoded)) <= self._inline_seconds else None

    async def close(self) -> None:
        await self.resolver.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self, reference: str, precision: Precision | None) -> LoadedModel:
        return self._cache.load(self.resolver.resolve(reference).at(precision))

    def _queue_policy(self, version: LoadedModel) -> QueuePolicy:
        joined = version.latency.warm_batch < BATCHING_GAIN_THRESHOLD * WARM_UP_ROWS * version.latency.single
        return replace(self._policy.queue, max_batch=self._policy.max_batch or (DEFAULT_MAX_BATCH if joined else 1))


def record_metrics(version: LoadedModel, rows: int, seconds: float) -> None:
    """Count one answered request."""
    duration, inputs = _counters(version.modality.name)
    duration.observe(seconds)
    inputs.inc(rows)


@cache
def _counters(modality: str) -> tuple[HistogramChild, Counter]:
    return PREDICTION_SECONDS.labels(modality), PREDICTED_INPUTS.labels(modality)
