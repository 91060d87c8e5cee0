"""How the code that trains talks to its supervisor: progress out, the wish to stop in. Torch-free.

The training code gets one `ProgressReporter`, calls it from one thread, and lets the exceptions below leave it: the entry of
the trainer process maps them to exit codes.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import SupportsFloat, TextIO

from app.artifacts import TrainingPrecision
from app.schemas.trainer_messages import JobWarning, MetricPoint, Report

QUIET_SECONDS = 10.0


class StopRequested(Exception):
    """The run was asked to stop; a checkpoint is stored. Exit code 75."""


class BadParameters(Exception):
    """These parameters cannot work (on these data), whoever tries: no retry. The message is for the user. Exit code 64."""


class BadData(Exception):
    """These data cannot be trained on, whoever tries: no retry. The message is for the user. Exit code 65."""


class ProgressReporter:
    """Collects points and sends them as one JSON line each `interval_seconds`, so that a step costs a list append.

    Values may be zero-dimensional tensors: they are read (and a GPU waited for) only when a line is sent. Values that are not
    finite are left out of the series. Call `report` for the steps that shall become points: a few hundred a run are plenty.
    """

    def __init__(self, stream: TextIO, interval_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._sent_at = -math.inf
        self._progress = 0.0
        self._points: list[tuple[int, float, Mapping[str, SupportsFloat]]] = []
        self._warnings: list[JobWarning] = []
        self._checkpoint: str | None = None
        self._training_precision: TrainingPrecision | None = None
        self._stop = False
        self._wakeup: SimpleQueue[None] = SimpleQueue()

    @property
    def should_stop(self) -> bool:
        """Ask after every step. When it turns true: store a checkpoint, report it and raise `Stopped`."""
        return self._stop

    def request_stop(self) -> None:
        """Safe to call in a signal handler, as setting an `Event` that is waited for is not."""
        self._stop = True
        self._wakeup.put(None)

    def wait(self, seconds: float) -> None:
        """Until a stop is asked for, or for so long."""
        if not self._stop:
            with suppress(Empty):
                self._wakeup.get(timeout=seconds)

    def report(self, step: int, epoch: float, progress: float, metrics: Mapping[str, SupportsFloat]) -> None:
        """Note the metrics of a step; `progress` is the fraction (0..1) of the whole job that is done."""
        self._progress = progress
        if metrics:
            self._points.append((step, epoch, metrics))
        if self._clock() - self._sent_at >= self._interval_seconds:
            self.flush()

    def update_progress(self, progress: float) -> None:
        """Note how far the job is after a step without a point: the first of a long run may be minutes away."""
        self._progress = progress
        if self._clock() - self._sent_at >= QUIET_SECONDS:
            self.flush()

    def merge(self, points: Iterable[MetricPoint], warnings: Iterable[JobWarning]) -> None:
        """What another trainer reported belongs to this run too; sent at once."""
        self._points += [(point.step, point.epoch, {point.name: point.value}) for point in points]
        self._warnings += warnings
        self.flush()

    def warn(self, code: str, message: str) -> None:
        """Tell the user about something in the run that did not end it; sent at once."""
        self._warnings.append(JobWarning(code=code, message=message))
        self.flush()

    def checkpoint(self, key: str) -> None:
        """A checkpoint is safely stored under this key: a later attempt may resume from it; sent at once."""
        self._checkpoint = key
        self.flush()

    def use_precision(self, precision: TrainingPrecision) -> None:
        """Send the precision that the job trains in with the next line, and so not later than any checkpoint."""
        self._training_precision = precision

    def flush(self) -> None:
        """Send what is waiting; the entry of the trainer does so at the end too."""
        report = Report(
            progress=min(max(self._progress, 0.0), 1.0),
            metrics=[point for noted in self._points for point in _finite_points(*noted)],
            warnings=self._warnings,
            checkpoint=self._checkpoint,
            training_precision=self._training_precision,
        )
        self._points, self._warnings, self._checkpoint, self._training_precision = [], [], None, None
        self._sent_at = self._clock()
        self._stream.write(report.model_dump_json() + "\n")
        self._stream.flush()


def _finite_points(step: int, epoch: float, metrics: Mapping[str, SupportsFloat]) -> list[MetricPoint]:
    values = {name: float(value) for name, value in metrics.items()}
    return [MetricPoint(step=step, epoch=epoch, name=name, value=value) for name, value in values.items() if math.isfinite(value)]
