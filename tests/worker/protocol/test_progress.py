"""Tests of the progress reports: few, complete lines."""

import io
import math
import signal
import time

import pytest

from app.schemas.trainer_messages import JobWarning, MetricPoint, Report
from worker.protocol.progress import ProgressReporter
from worker.supervision.trainer_process import merged


class Clock:
    """A clock that tests advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(stream: io.StringIO, clock: Clock) -> ProgressReporter:
    return ProgressReporter(stream, interval_seconds=1, clock=clock)


def reports(stream: io.StringIO) -> list[Report]:
    return [Report.model_validate_json(line) for line in stream.getvalue().splitlines()]


def test_steps_within_the_interval_travel_together(reporter: ProgressReporter, stream: io.StringIO, clock: Clock) -> None:
    for step in range(10):
        clock.now = step * 0.3
        reporter.report(step, step / 10, step / 10, {"loss": 1.0})
    reporter.flush()
    assert [len(report.metrics) for report in reports(stream)] == [1, 4, 4, 1]
    assert reports(stream)[-1].progress == 0.9


def test_steps_between_distant_points_show_progress_now_and_then(
    reporter: ProgressReporter, stream: io.StringIO, clock: Clock
) -> None:
    for step in range(25):
        clock.now = step
        reporter.update_progress(step / 100)
    assert [report.progress for report in reports(stream)] == [0.0, 0.1, 0.2]


def test_warnings_and_checkpoints_are_sent_at_once(reporter: ProgressReporter, stream: io.StringIO) -> None:
    reporter.report(1, 0, 0.1, {})
    reporter.warn("collapsed", "The source accuracy fell to chance.")
    reporter.checkpoint("jobs/1/1/checkpoint-5.pt")
    assert [report.checkpoint for report in reports(stream)] == [None, None, "jobs/1/1/checkpoint-5.pt"]
    assert [len(report.warnings) for report in reports(stream)] == [0, 1, 0]


def test_values_that_are_not_finite_are_left_out(reporter: ProgressReporter, stream: io.StringIO) -> None:
    reporter.report(1, 0, 2.0, {"loss": math.nan, "domain": math.inf, "lambda": 0.5})
    (report,) = reports(stream)
    assert [point.name for point in report.metrics] == ["lambda"]
    assert report.progress == 1.0


def test_reports_that_wait_become_one(reporter: ProgressReporter, stream: io.StringIO) -> None:
    reporter.use_precision("float32")
    reporter.report(1, 0, 0.1, {"loss": 1.0})
    reporter.checkpoint("a")
    reporter.warn("code", "message")
    first, second, third = reports(stream)
    whole = merged(merged(merged(None, first), second), third)
    assert whole is not None
    assert (len(whole.metrics), len(whole.warnings), whole.checkpoint, whole.training_precision) == (1, 1, "a", "float32")


def test_precision_is_sent_once_and_not_after_a_checkpoint(reporter: ProgressReporter, stream: io.StringIO) -> None:
    reporter.use_precision("bfloat16")
    reporter.checkpoint("a")
    reporter.checkpoint("b")
    assert [(report.checkpoint, report.training_precision) for report in reports(stream)] == [("a", "bfloat16"), ("b", None)]


def test_signal_ends_a_wait_immediately(reporter: ProgressReporter) -> None:
    previous = signal.signal(signal.SIGALRM, lambda *_: reporter.request_stop())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    reporter.wait(60)
    reporter.wait(60)
    assert time.monotonic() - began < 30
    assert reporter.should_stop
    signal.signal(signal.SIGALRM, previous)


def test_merged_report_of_another_trainer_is_forwarded(reporter: ProgressReporter, stream: io.StringIO) -> None:
    points = [MetricPoint(step=step, epoch=0.5, name="loss", value=step / 2) for step in (1, 2)]
    warning = JobWarning(code="collapsed", message="At step 3.")
    reporter.report(7, 1, 0.4, {})
    reporter.merge(points, [warning])
    assert reports(stream)[-1] == Report(progress=0.4, metrics=points, warnings=[warning])
