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
from app.serving.loaded_model import WARM_UP_ROWS, LoadedModel, rows_of
from app.serving.model_cache import ModelCache
from app.serving.model_resolver import ModelResolver
from app.serving.queue_delay_limiter import QueueDelayLimiter
from app.settings import Settings

Logits = NDArray[np.float32]
Raw = TypeVar("Raw")

BATCH = 64
BATCHING_GAIN_THRESHOLD = 0.7
"""Of the time of single runs: a joined run that takes longer is not worth the wait for one another."""


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """Where predictions run. `max_batch` 0: as the warm-up of each version advises."""

    inline_seconds: float
    max_batch: int
    limits: QueuePolicy

    @classmethod
    def of(cls, settings: Settings) -> "ServingPolicy":
        on_cores = 1 if settings.predict_device == "cuda" else len(os.sched_getaffinity(0)) // settings.predict_threads
        limits = QueuePolicy(
            concurrency=settings.predict_concurrency or max(1, on_cores),
            max_queue_delay_us=settings.predict_batch_delay_us,
            queue=settings.predict_max_queue_size,
            deadline_seconds=settings.predict_queue_timeout_ms / 1e3,
            patience_seconds=settings.predict_max_queue_delay_ms / 1e3,
        )
        return cls(settings.predict_inline_max_us / 1e6, settings.predict_max_batch, limits)


class Predictor:
    """One for a process; its queues belong to one event loop.

    Small runs happen in the event loop itself, which is quicker than to hand them to a thread and back: what they wait for is
    the loop. What cannot be answered in time is refused before anything is done for it: a server that reads all that it refuses
    has no time for the rest.
    """

    def __init__(self, references: ModelResolver, engine: ModelCache, policy: ServingPolicy) -> None:
        self.references = references
        self._engine, self._policy, self._inline_seconds = engine, policy, policy.inline_seconds
        self._threads = ThreadPoolExecutor(policy.limits.concurrency, "predict")
        self.turns = EventLoopAdmission(QueueDelayLimiter(policy.limits.patience_seconds))
        self._encoders = asyncio.Semaphore(policy.limits.concurrency)
        self._lanes: WeakKeyDictionary[LoadedModel, DynamicBatcher] = WeakKeyDictionary()

    def get_loaded(self, reference: str, precision: Precision | None = None) -> LoadedModel | None:
        """A version that is known and loaded, at once. Raises PrecisionNotFound."""
        files = self.references.get_cached(reference)
        return self._engine.get(files.at(precision).key) if files else None

    def get_loaded_or_reject(self, reference: str, precision: Precision | None) -> LoadedModel | None:
        """The same, to be asked at once. Raises PrecisionNotFound; Overloaded where too much waits for it already."""
        version = self.get_loaded(reference, precision)
        lane = self._lanes.get(version) if version is not None else None
        if lane is not None:
            lane.check()
        return version

    async def load(self, reference: str, precision: Precision | None = None) -> LoadedModel:
        """Raises ModelNotFound, PrecisionNotFound, ArtifactCorrupt."""
        version = self.get_loaded(reference, precision)
        return version if version is not None else await asyncio.to_thread(self._load, reference, precision)

    def check_overload(self) -> None:
        """Raises Overloaded where requests already wait too long for the threads, whichever version they are for."""
        for lane in list(self._lanes.values()):
            lane.check()

    async def encoded(self, version: LoadedModel, encode: Callable[[Raw], Encoded], raw: Raw) -> Encoded:
        """What a thread makes of the inputs. Raises InvalidInputs; Overloaded, before, where they would wait too long then."""
        async with self._encoders:
            lane = self._lanes.get(version)
            if lane is not None:
                lane.check()
            return await asyncio.to_thread(encode, raw)

    def submit(self, version: LoadedModel, encoded: Encoded) -> "Logits | asyncio.Future[Logits]":
        """The logits, or, of a larger run, the place in the queue. Raises InvalidInputs, Overloaded."""
        rows = rows_of(encoded)
        if version.speed.estimate(rows) <= self._inline_seconds:
            return version.logits(encoded)
        lane = self._lanes.get(version)
        if lane is None:
            run = partial(LoadedModel.logits, proxy(version))  # a lane that held its version would keep it for ever
            lane = self._lanes[version] = DynamicBatcher(run, self._threads, self._limits(version))
        return lane.submit(encoded)

    def predict_sync(self, version: LoadedModel, encoded: Encoded) -> Logits | None:
        """The logits, unless the run is one for a thread. Raises InvalidInputs."""
        return version.logits(encoded) if version.speed.estimate(rows_of(encoded)) <= self._inline_seconds else None

    async def close(self) -> None:
        await self.references.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self, reference: str, precision: Precision | None) -> LoadedModel:
        return self._engine.load(self.references.resolve(reference).at(precision))

    def _limits(self, version: LoadedModel) -> QueuePolicy:
        joined = version.speed.warm_batch < BATCHING_GAIN_THRESHOLD * WARM_UP_ROWS * version.speed.one
        return replace(self._policy.limits, max_batch=self._policy.max_batch or (BATCH if joined else 1))


def record_metrics(version: LoadedModel, rows: int, seconds: float) -> None:
    """Count one answered request."""
    duration, inputs = _counters(version.modality.name)
    duration.observe(seconds)
    inputs.inc(rows)


@cache
def _counters(modality: str) -> tuple[HistogramChild, Counter]:
    return PREDICTION_SECONDS.labels(modality), PREDICTED_INPUTS.labels(modality)
