"""The link between training code and supervisor: progress out, the request to stop in. Torch-free.

The training code gets one `ProgressReporter`, calls it from one thread, and does not catch the exceptions below: the entry of the
trainer process maps them to exit codes.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import SupportsFloat, TextIO

from app.artifacts import TrainingPrecision
from app.schemas.trainer_messages import JobWarning, MetricPoint, Report

MAX_SILENCE_SECONDS = 10.0


class StopRequested(Exception):  # noqa: N818  # control flow, not an error
    """The run was asked to stop, and a checkpoint is stored. Exit code 75."""


class BadParameters(Exception):  # noqa: N818  # named like its exit code
    """The parameters cannot work on this data, so a retry is useless. The message is for the user. Exit code 64."""


class BadData(Exception):  # noqa: N818  # named like its exit code
    """The data cannot be used, so a retry is useless. The message is for the user. Exit code 65."""


class ProgressReporter:
    """A collector of points that sends one JSON line each `interval_seconds`, so that a step costs a list append.

    Values may be zero-dimensional tensors. They are read, and the GPU is synchronised, only when a line is sent. Values that are
    not finite are omitted. Call `report` for the steps that become points: a few hundred are enough for a run.
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
        self._phase: str | None = None
        self._training_precision: TrainingPrecision | None = None
        self._stop = False
        self._wakeup: SimpleQueue[None] = SimpleQueue()

    @property
    def should_stop(self) -> bool:
        """The request to stop. Check it after every step: store a checkpoint, report it and raise StopRequested."""
        return self._stop

    def request_stop(self) -> None:
        """Request the stop. A signal handler may call this, unlike setting an `Event` that is waited for."""
        self._stop = True
        self._wakeup.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for a request to stop, at most `seconds`."""
        if not self._stop:
            with suppress(Empty):
                self._wakeup.get(timeout=seconds)

    def report(self, step: int, epoch: float, progress: float, metrics: Mapping[str, SupportsFloat]) -> None:
        """Add the metrics of a step; `progress` is the completed fraction (0..1) of the whole job."""
        self._progress = progress
        if metrics:
            self._points.append((step, epoch, metrics))
        if self._clock() - self._sent_at >= self._interval_seconds:
            self.flush()

    def update_progress(self, progress: float) -> None:
        """Set the progress after a step without a point: the first point of a long run may be minutes away."""
        self._progress = progress
        if self._clock() - self._sent_at >= MAX_SILENCE_SECONDS:
            self.flush()

    def merge(self, points: Iterable[MetricPoint], warnings: Iterable[JobWarning]) -> None:
        """Add the points and warnings of another trainer that belong to this run, and send them at once."""
        self._points += [(point.step, point.epoch, {point.name: point.value}) for point in points]
        self._warnings += warnings
        self.flush()

    def warn(self, code: str, message: str) -> None:
        """Report a problem that did not end the run, at once."""
        self._warnings.append(JobWarning(code=code, message=message))
        self.flush()

    def checkpoint(self, key: str) -> None:
        """Report a stored checkpoint, from which a later attempt may resume, at once."""
        self._checkpoint = key
        self.flush()

    def enter_phase(self, phase: str, progress: float = 0.0) -> None:
        """Report what the trainer does from now on, such as `trial 2 of 3`, at once; progress never falls."""
        self._phase, self._progress = phase, max(self._progress, progress)
        self.flush()

    def use_precision(self, precision: TrainingPrecision) -> None:
        """Send the precision that the job trains in with the next line, and so not later than any checkpoint."""
        self._training_precision = precision

    def flush(self) -> None:
        """Send all pending values; the entry of the trainer also calls this at the end."""
        report = Report(
            progress=min(max(self._progress, 0.0), 1.0),
            metrics=[point for noted in self._points for point in _finite_points(*noted)],
            warnings=self._warnings,
            checkpoint=self._checkpoint,
            phase=self._phase,
            training_precision=self._training_precision,
        )
        self._points, self._warnings, self._checkpoint, self._phase, self._training_precision = [], [], None, None, None
        self._sent_at = self._clock()
        self._stream.write(report.model_dump_json() + "\n")
        self._stream.flush()


def _finite_points(step: int, epoch: float, metrics: Mapping[str, SupportsFloat]) -> list[MetricPoint]:
    values = {name: float(value) for name, value in metrics.items()}
    return [MetricPoint(step=step, epoch=epoch, name=name, value=value) for name, value in values.items() if math.isfinite(value)]
