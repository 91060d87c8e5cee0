"""Trials on other workers; the test plays these workers: it claims trials and runs them beside the search."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import torch
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, joinedload, sessionmaker

from app.algorithms import PARAMS
from app.algorithms.auto import AutoParams
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.schemas.trainer_messages import Report
from app.services import leases
from app.services.leases import Lease
from app.services.trials import SearchAttempt
from app.settings import Settings
from tests.support.job_bench import CNN, SMALL, Bench, digits
from tests.support.list_queue import ListQueue
from tests.support.supervision import read_job
from tests.support.toy_problems import CPU
from worker.distributed.processes import Distributed
from worker.jobs import trial as child
from worker.protocol.progress import BadParameters, ProgressReporter, StopRequested
from worker.protocol.progress_span import ProgressSpan
from worker.search.remote_trials import PlannedTrial, QueuedTrials, TrialOwner
from worker.search.successive_halving import search
from worker.training.preparation import prepare_trials
from worker.training.trials import Trial, TrialRunner

Sessions = sessionmaker[Session]
MCC, ADABN = "1-0-mcc", "1-1-adabn"
STEPS = 30
SHORT_STEPS = 7  # a quarter, in the first round
AUTO = {
    "algorithm": "auto",
    **SMALL,
    "epochs": 1,
    "min_steps": STEPS,
    "candidates": [{"algorithm": "mcc"}, {"algorithm": "adabn"}],
}


@dataclass
class Scene:
    """A search on one worker, and the actions of another worker."""

    bench: Bench
    lease: Lease
    queue: ListQueue = field(default_factory=ListQueue)

    @property
    def job(self) -> JobRow:
        return read_job(self.bench.sessions, self.lease.job_id)

    @property
    def params(self) -> AutoParams:
        return AutoParams.model_validate(self.job.params)

    @property
    def planned(self) -> list[PlannedTrial]:
        return [PlannedTrial(1, position, method, SHORT_STEPS) for position, method in enumerate(self.params.methods)]

    def trials(self, reporter: ProgressReporter | None = None) -> TrialRunner:
        return prepare_trials(self.bench.context(self.job, self.lease.attempt, reporter), CPU, Distributed())[1]

    def scheduler(self, trials: TrialRunner) -> QueuedTrials:
        return QueuedTrials(SearchAttempt(self.lease.job_id, self.lease.attempt), trials, self.bench.sessions, lambda: self.queue)

    def claim(self, job_id: UUID) -> Lease:
        return claim(self.bench, job_id)

    def run(self, lease: Lease, reporter: ProgressReporter | None = None) -> None:
        """Run a trial as a worker does; raise StopRequested after giving it back."""
        reporter = reporter or ProgressReporter(io.StringIO())
        with self.bench.sessions() as session:
            row = session.get_one(JobRow, lease.job_id, options=[joinedload(JobRow.parent)])
        with self._reporting(lease, reporter):
            tried = child.run(self.bench.context(row, lease.attempt, reporter))
        assert tried is not None
        with self.bench.sessions.begin() as session:
            assert leases.finish(session, lease, tried)

    @contextmanager
    def _reporting(self, lease: Lease, reporter: ProgressReporter) -> Iterator[None]:
        try:
            yield
        finally:
            reporter.flush()
            with self.bench.sessions.begin() as session:
                for report in reports(reporter):
                    leases.heartbeat(session, lease, 60, report)
                if reporter.should_stop:
                    leases.release(session, lease)


class StopsInStep(ProgressReporter):
    """A reporter that requests a stop in the given step."""

    def __init__(self, step: int) -> None:
        super().__init__(io.StringIO())
        self._stop_at = step

    def report(self, step: int, *others: Any) -> None:
        super().report(step, *others)
        if step == self._stop_at:
            self.request_stop()


def claim(bench: Bench, job_id: UUID) -> Lease:
    with bench.sessions.begin() as session:
        claimed = leases.claim(session, job_id, "a-worker", 60)
    assert claimed is not None
    return claimed[0]


def reports(reporter: ProgressReporter) -> list[Report]:
    stream = reporter._stream  # noqa: SLF001  # the stream was passed in by a helper
    assert isinstance(stream, io.StringIO)
    return [Report.model_validate_json(line) for line in stream.getvalue().splitlines()]


def points(reporter: ProgressReporter, name: str) -> dict[int, float]:
    return {point.step: point.value for report in reports(reporter) for point in report.metrics if point.name == name}


def assert_same(one: Trial, other: Trial) -> None:
    assert (one.step, one.steps, one.domain_accuracy) == (other.step, other.steps, other.domain_accuracy)
    assert json.dumps(one.scores) == json.dumps(other.scores)
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.fixture
def bench(worker_settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> Bench:
    folder = tmp_path / "bench"
    folder.mkdir()
    return Bench(worker_settings.model_copy(update={"device": "cpu", "train_threads": 1}), worker_sessions, folder)


@pytest.fixture
def scene(bench: Bench) -> Scene:
    source, target = digits(bench, target=False, rows=200), digits(bench, target=True, labelled=False, rows=200)
    params = PARAMS["auto"].model_validate(AUTO).model_dump(mode="json")
    return Scene(bench, claim(bench, bench.job(params, source, target, base=CNN).id))


def test_remote_trial_gives_the_same_result_as_a_local_one(scene: Scene) -> None:
    reporter = ProgressReporter(io.StringIO())
    trials = scene.trials(reporter)
    start = trials.run_baseline(scene.params, ProgressSpan()).weights
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned, start)
    scheduler.enqueue(scene.planned, start)
    assert len(scene.queue.sent) == 2
    taken = [scene.claim(job_id) for job_id in scene.queue.sent]
    assert [scheduler.claim(name) for name in (MCC, ADABN)] == [TrialOwner.REMOTE, TrialOwner.REMOTE]
    for lease in taken:
        scene.run(lease)
    assert [scheduler.claim(name) for name in (MCC, ADABN)] == [TrialOwner.FINISHED, TrialOwner.FINISHED]

    local_reporter = ProgressReporter(io.StringIO())
    local = scene.trials(local_reporter)
    for planned, started in zip(scene.planned, (None, start), strict=True):
        trial = local.run(
            planned.name, planned.params, ProgressSpan(), start=started, steps=planned.steps, metric_prefix=f"{planned.name}_"
        )
        assert_same(trials.ended[planned.name], trial)
    local_reporter.flush()
    expected = points(local_reporter, f"{MCC}_information_maximisation")
    assert points(reporter, f"{MCC}_information_maximisation") == expected != {}


@pytest.mark.parametrize("is_faster", [True, False])
def test_trial_uses_the_precision_of_its_search(is_faster: bool, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.mixed_precision.is_faster", lambda: is_faster)
    trials, planned = scene.trials(), scene.planned[0]
    expected = scene.trials().run(planned.name, planned.params, ProgressSpan(), steps=planned.steps)
    scene.scheduler(trials).enqueue([planned], None)
    monkeypatch.setattr("worker.training.mixed_precision.is_faster", lambda: not is_faster)
    scene.run(scene.claim(scene.queue.sent[0]))
    assert scene.scheduler(trials).claim(MCC) is TrialOwner.FINISHED
    assert_same(trials.ended[MCC], expected)
    assert scene.trials().precision == ("bfloat16" if is_faster else "float32")


def test_queued_remote_trial_is_taken_back(scene: Scene) -> None:
    trials = scene.trials()
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned[:1], None)
    assert scheduler.claim(MCC) is TrialOwner.LOCAL
    assert read_job(scene.bench.sessions, scene.queue.sent[0]).status is JobStatus.CANCELLED
    assert scheduler.claim(ADABN) is TrialOwner.LOCAL  # was never queued
    assert not trials.interrupted


def test_trial_released_by_another_worker_continues_from_its_checkpoint(scene: Scene) -> None:
    reporter, local = ProgressReporter(io.StringIO()), ProgressReporter(io.StringIO())
    trials = scene.trials(reporter)
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned[:1], None)
    with pytest.raises(StopRequested):
        scene.run(scene.claim(scene.queue.sent[0]), StopsInStep(6))
    assert scheduler.claim(MCC) is TrialOwner.LOCAL
    assert trials.interrupted is not None
    assert trials.interrupted["run"]["step"] == 6
    planned = scene.planned[0]
    resumed = trials.run(MCC, planned.params, ProgressSpan(), steps=planned.steps, metric_prefix=f"{MCC}_")
    expected = scene.trials(local).run(MCC, planned.params, ProgressSpan(), steps=planned.steps, metric_prefix=f"{MCC}_")
    assert_same(resumed, expected)
    reporter.flush()
    local.flush()
    assert points(reporter, f"{MCC}_information_maximisation").keys() == points(local, f"{MCC}_information_maximisation").keys()


def test_remote_trial_with_a_missing_checkpoint_restarts(scene: Scene) -> None:
    trials = scene.trials()
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned[:1], None)
    with pytest.raises(StopRequested):
        scene.run(scene.claim(scene.queue.sent[0]), StopsInStep(6))
    scene.bench.storage.delete(f"jobs/{scene.queue.sent[0]}")
    assert scheduler.claim(MCC) is TrialOwner.LOCAL
    assert trials.interrupted is None


def test_starting_remote_trial_is_taken_back_when_others_are_done(scene: Scene) -> None:
    trials = scene.trials()
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned, None)
    starting, training = (scene.claim(job_id) for job_id in scene.queue.sent)
    with scene.bench.sessions.begin() as session:
        leases.heartbeat(session, training, 60, Report(progress=0.0))
    assert {scheduler.claim(name) for name in (MCC, ADABN)} == {TrialOwner.REMOTE}
    assert [scheduler.claim(name, recall=True) for name in (MCC, ADABN)] == [TrialOwner.LOCAL, TrialOwner.REMOTE]
    assert read_job(scene.bench.sessions, starting.job_id).status is JobStatus.CANCELLING


@pytest.mark.parametrize(("code", "owner"), [("bad_parameters", TrialOwner.FINISHED), ("trainer_killed", TrialOwner.LOCAL)])
def test_remote_failure_is_final_only_for_bad_parameters(scene: Scene, code: str, owner: TrialOwner) -> None:
    trials = scene.trials()
    scheduler = scene.scheduler(trials)
    scheduler.enqueue(scene.planned[:1], None)
    lease = scene.claim(scene.queue.sent[0])
    with scene.bench.sessions.begin() as session:
        leases.fail(session, lease, code, "It diverged.")
    assert scheduler.claim(MCC) is owner
    assert trials.failed == ({MCC: "It diverged."} if owner is TrialOwner.FINISHED else {})
    if owner is TrialOwner.FINISHED:
        with pytest.raises(BadParameters, match="It diverged"):
            trials.run(MCC, scene.planned[0].params, ProgressSpan())


class StopsInWaiting(ProgressReporter):
    """A reporter that requests a stop while the search waits."""

    def wait(self, seconds: float) -> None:
        self.request_stop()


def test_search_stopped_while_waiting_resumes_to_the_same_result(scene: Scene) -> None:
    reporter = StopsInWaiting(io.StringIO())
    trials = scene.trials(reporter)
    scene.scheduler(trials).enqueue(scene.planned[:1], None)
    started = scene.claim(scene.queue.sent[0])
    with scene.bench.sessions.begin() as session:
        leases.heartbeat(session, started, 60, Report(progress=0.5))
    with pytest.raises(StopRequested):
        search(trials, scene.params, ProgressSpan(), scene.scheduler(trials))
    reporter.flush()
    assert reports(reporter)[-1].progress > reports(reporter)[-2].progress  # half of a trial that another worker runs
    checkpoint = [report.checkpoint for report in reports(reporter) if report.checkpoint][-1]

    scene.run(started)
    with scene.bench.sessions.begin() as session:
        leases.release(session, scene.lease)
    scene.lease = scene.claim(scene.lease.job_id)
    resumed = scene.trials()
    resumed.resume(checkpoint)
    assert set(resumed.ended) == {"source_only", ADABN}
    resumed_result = search(resumed, scene.params, ProgressSpan(), scene.scheduler(resumed))
    local_result = search(scene.trials(), scene.params, ProgressSpan())
    assert_same(resumed_result.reference, local_result.reference)
    assert [entry.planned for entry in resumed_result.records] == [entry.planned for entry in local_result.records]
    for entry, other in zip(resumed_result.records, local_result.records, strict=True):
        assert entry.trial is not None
        assert other.trial is not None
        assert_same(entry.trial, other.trial)
    with scene.bench.sessions() as session:
        assert len(session.get_one(JobRow, scene.lease.job_id).trials) == len(local_result.records)


class UnreachableQueue(ListQueue):
    """An unreachable broker."""

    def send(self, job_id: UUID) -> None:
        raise ServiceUnavailable


def test_search_continues_during_broker_and_database_outages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.search.remote_trials.POLL_SECONDS", 0)
    scene.queue = UnreachableQueue()
    scheduler = scene.scheduler(scene.trials())
    begin, failures = scene.bench.sessions.begin, iter([OperationalError("", {}, Exception("server closed"))])

    def unreachable_once() -> Any:
        for failure in failures:
            raise failure
        return begin()

    monkeypatch.setattr(scene.bench.sessions, "begin", unreachable_once)
    scheduler.enqueue(scene.planned[:1], None)
    assert scheduler.claim(MCC) is TrialOwner.LOCAL
    with scene.bench.sessions() as session:
        (child_row,) = session.get_one(JobRow, scene.lease.job_id).trials
    assert (child_row.trial, child_row.status) == (MCC, JobStatus.CANCELLED)
