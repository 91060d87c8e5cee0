"""Batch predictions over HTTP, and what a worker may write about one; what the worker's process does is tested beside it."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow, EventRow, JobRow, OutputRow, VersionRow
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION, BatchPredictionResult
from app.schemas.trainer_messages import MetricPoint, Report
from app.services import leases
from app.storage import Storage, StoredFile
from tests.support.factories import lease_of, make_dataset, make_job, make_version
from tests.support.list_queue import ListQueue

CONTENT = bytes(range(256)) * 20
OPTIONS = {"output": "csv", "top_k": 1, "probabilities": False, "total": 100}


@pytest.fixture
def version(session: Session) -> VersionRow:
    row = make_version(session, model="patients")
    session.commit()
    return row


@pytest.fixture
def data(session: Session) -> DatasetRow:
    return stored(session)


def stored(session: Session, **fields: Any) -> DatasetRow:
    row = make_dataset(session, **{"labelled": False, "classes": None, **fields})
    session.commit()
    return row


def make_prediction(session: Session, status: JobStatus = JobStatus.QUEUED, **fields: Any) -> JobRow:
    row = make_job(
        session, status=status, kind=BATCH_PREDICTION.name, base={"model": "patients:1"}, **{"params": OPTIONS, **fields}
    )
    row.source_id = row.source_id or make_dataset(session).id
    session.commit()
    return row


def make_output(storage_key: str = "jobs/p/1/output.csv", content: bytes = CONTENT) -> BatchPredictionResult:
    digest = sha256(content).hexdigest()
    file = StoredFile(storage_key, digest=digest, size_bytes=len(content))
    return BatchPredictionResult(metrics={"completed": 99, "failed": 1, "rows_per_second": 250.0}, rows=100, file=file)


def errors_of(answer: Any, status: int = 422) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def test_submitted_prediction_has_defaults_and_a_fixed_version(
    client: TestClient, queue: ListQueue, session: Session, version: VersionRow, data: DatasetRow
) -> None:
    answer = client.post("/batch-predictions", json={"model": "patients", "dataset": str(data.id)})
    assert answer.status_code == 202, answer.text
    prediction = answer.json()
    assert answer.headers["location"] == f"/batch-predictions/{prediction['id']}"
    assert (prediction["model"], prediction["version"], prediction["dataset"]) == ("patients", version.number, str(data.id))
    assert (prediction["output"], prediction["top_k"], prediction["probabilities"]) == ("parquet", 1, False)
    assert (prediction["status"], prediction["progress"], prediction["attempt"]) == ("queued", 0.0, 0)
    assert prediction["counts"] == {"total": 100, "completed": 0, "failed": 0}
    assert [prediction[name] for name in ("rows_per_second", "eta_seconds", "error", "result", "finished_at")] == [None] * 5
    assert [str(job_id) for job_id in queue.sent] == [prediction["id"]]
    make_version(session, model="patients")
    session.commit()
    assert client.get(answer.headers["location"]).json() == prediction


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"model": "unknown"}, "/model", "There is no model version 'unknown'"),
        ({"dataset": "11111111-2222-3333-4444-555555555555"}, "/dataset", "There is no dataset 11111111"),
        ({"output": "xlsx"}, "/output", "Input should be"),
        ({"top_k": 0}, "/top_k", "greater than or equal to 1"),
        ({"labels": True}, "/labels", "Extra inputs"),
    ],
)
@pytest.mark.usefixtures("version")
def test_invalid_field_is_named(client: TestClient, data: DatasetRow, body: dict[str, Any], pointer: str, message: str) -> None:
    errors = errors_of(client.post("/batch-predictions", json={"model": "patients", "dataset": str(data.id)} | body))
    assert message in errors[pointer]


@pytest.mark.usefixtures("version")
def test_incompatible_dataset_is_rejected_with_every_reason(client: TestClient, session: Session) -> None:
    columns = [{"name": "age", "kind": "category", "missing": 0}, {"name": "weight", "kind": "number", "missing": 0}]
    other = stored(session, profile={"columns": columns, "label": None})
    answer = client.post("/batch-predictions", json={"model": "patients", "dataset": str(other.id)})
    assert answer.status_code == 422
    details = [error["detail"] for error in answer.json()["errors"]]
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/dataset"] * 3
    assert any("'sex' of the model is missing" in detail for detail in details)
    assert any("'weight' is not in the model" in detail for detail in details)
    texts = stored(session, modality="text", format="jsonl", profile={})
    assert errors_of(client.post("/batch-predictions", json={"model": "patients", "dataset": str(texts.id)})) == {
        "/dataset": "patients:1 is for tabular data, the dataset is text data"
    }


@pytest.mark.usefixtures("version")
def test_labelled_dataset_is_accepted(client: TestClient, session: Session) -> None:
    labelled = make_dataset(session)
    session.commit()
    assert client.post("/batch-predictions", json={"model": "patients:1", "dataset": str(labelled.id)}).status_code == 202


@pytest.mark.usefixtures("version")
def test_reused_key_returns_the_prediction_or_a_conflict(client: TestClient, queue: ListQueue, data: DatasetRow) -> None:
    body, headers = {"model": "patients", "dataset": str(data.id)}, {"Idempotency-Key": "once"}
    first, again = (client.post("/batch-predictions", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert len(queue.sent) == 1
    assert (
        "used before"
        in errors_of(client.post("/batch-predictions", json=body | {"output": "csv"}, headers=headers))["/header/idempotency-key"]
    )


def test_jobs_and_predictions_do_not_share_ids(client: TestClient, session: Session) -> None:
    job, prediction = make_job(session), make_prediction(session)
    session.commit()
    assert [row["id"] for row in client.get("/jobs").json()["data"]] == [str(job.id)]
    assert [row["id"] for row in client.get("/batch-predictions").json()["data"]] == [str(prediction.id)]
    for path in ("", "/metrics", "/events"):
        assert client.get(f"/jobs/{prediction.id}{path}").json()["code"] == "job_not_found"
        assert client.get(f"/batch-predictions/{job.id}{path}").json()["code"] == "batch_prediction_not_found"
    for path in (f"/jobs/{prediction.id}/cancel", f"/batch-predictions/{job.id}/cancel"):
        assert client.post(path).status_code == 404
    assert client.get(f"/batch-predictions/{job.id}/output").status_code == 404
    session.expire_all()
    assert {job.status, prediction.status} == {JobStatus.QUEUED}


def test_predictions_are_filtered_and_listed_in_pages(client: TestClient, session: Session) -> None:
    first = make_prediction(session)
    rows = [
        make_prediction(session, created_at=first.created_at + timedelta(seconds=number), model_name=f"m{number % 2}")
        for number in range(1, 5)
    ]
    failed = make_prediction(session, JobStatus.FAILED, error_code="bad_data")
    page = client.get("/batch-predictions?limit=2&model=m1&status=queued").json()
    assert [row["id"] for row in page["data"]] == [str(rows[2].id), str(rows[0].id)]
    assert page["next"] is None
    assert [row["id"] for row in client.get("/batch-predictions?status=failed").json()["data"]] == [str(failed.id)]


def test_running_prediction_reports_progress_and_speed(client: TestClient, session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING)
    values = {"completed": 40.0, "failed": 2.0, "rows_per_second": 123.4}
    points = [MetricPoint(step=42, epoch=0, name=name, value=value) for name, value in values.items()]
    assert leases.heartbeat(session, lease_of(job), 60, Report(progress=0.4, metrics=points)) is JobStatus.RUNNING
    session.commit()
    prediction = client.get(f"/batch-predictions/{job.id}?wait=0").json()
    assert prediction["counts"] == {"total": 100, "completed": 40, "failed": 2}
    assert (prediction["rows_per_second"], prediction["progress"]) == (123.4, 0.4)
    series = client.get(f"/batch-predictions/{job.id}/metrics?name=rows_per_second").json()["data"]
    assert series == [{"step": 42, "epoch": 0.0, "name": "rows_per_second", "value": 123.4}]


def test_prediction_is_cancelled_like_a_job(client: TestClient, session: Session) -> None:
    queued, running = make_prediction(session), make_prediction(session, JobStatus.RUNNING)
    done = make_prediction(session, JobStatus.SUCCEEDED)
    assert client.post(f"/batch-predictions/{queued.id}/cancel").json()["status"] == "cancelled"
    assert client.post(f"/batch-predictions/{running.id}/cancel").json()["status"] == "cancelling"
    assert client.post(f"/batch-predictions/{done.id}/cancel").json()["code"] == "illegal_transition"


@pytest.mark.usefixtures("version")
def test_events_of_a_prediction_end_with_done(client: TestClient, session: Session, data: DatasetRow) -> None:
    prediction = client.post("/batch-predictions", json={"model": "patients", "dataset": str(data.id)}).json()
    client.post(f"/batch-predictions/{prediction['id']}/cancel")
    lines = client.get(f"/batch-predictions/{prediction['id']}/events").text.splitlines()
    assert [line for line in lines if line.startswith("event")] == ["event: queued", "event: done"]


def test_dataset_of_a_queued_prediction_cannot_be_deleted(client: TestClient, session: Session) -> None:
    data = make_dataset(session)
    prediction = make_prediction(session, source_id=data.id)
    assert client.delete(f"/datasets/{data.id}").json()["code"] == "dataset_in_use"
    client.post(f"/batch-predictions/{prediction.id}/cancel")
    assert client.delete(f"/datasets/{data.id}").status_code == 204


@pytest.fixture(params=["file", "memory"])
def output(request: pytest.FixtureRequest, client: TestClient, session: Session, storage: Storage, tmp_path: Path) -> str:
    """Return the path of the output of a successful prediction, on a local and another file system."""
    if request.param == "memory":
        storage = client.app.state.storage = Storage("memory://outputs")  # type: ignore[attr-defined]
    (tmp_path / "output.csv").write_bytes(CONTENT)
    job = make_prediction(session, JobStatus.RUNNING)
    key = f"jobs/{job.id}/1/output.csv"
    storage.put(key, tmp_path / "output.csv")
    assert leases.finish(session, lease_of(job), make_output(key)) is not None
    session.commit()
    return f"/batch-predictions/{job.id}/output"


def test_successful_prediction_has_an_output(client: TestClient, output: str) -> None:
    prediction = client.get(output.removesuffix("/output")).json()
    assert (prediction["status"], prediction["progress"]) == ("succeeded", 1.0)
    assert prediction["counts"] == {"total": 100, "completed": 99, "failed": 1}
    assert prediction["result"] == {"rows": 100, "size_bytes": len(CONTENT), "digest": sha256(CONTENT).hexdigest()}
    whole = client.get(output)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["content-type"].startswith("text/csv")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"].endswith('.csv"')
    assert client.get(output, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("requested", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=5000-", 5000, 5120),
        ("bytes=-20", 5100, 5120),
        ("bytes=1-99999", 1, 5120),
    ],
)
def test_range_of_the_output_is_downloaded(client: TestClient, output: str, requested: str, start: int, stop: int) -> None:
    part = client.get(output, headers={"Range": requested})
    assert (part.status_code, part.content) == (206, CONTENT[start:stop])
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert part.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("requested", ["bytes=5120-", "bytes=-0", "bytes=9-3"])
def test_range_beyond_the_output_is_rejected_with_its_size(client: TestClient, output: str, requested: str) -> None:
    answer = client.get(output, headers={"Range": requested})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize(
    "headers", [{"Range": "bytes=0-1,5-6"}, {"Range": "rows=1-2"}, {"Range": "bytes=1-2", "If-Range": '"x"'}]
)
def test_unsupported_range_returns_the_whole_output(client: TestClient, output: str, headers: dict[str, str]) -> None:
    answer = client.get(output, headers=headers)
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED])
def test_unfinished_prediction_has_no_output(client: TestClient, session: Session, status: JobStatus) -> None:
    answer = client.get(f"/batch-predictions/{make_prediction(session, status).id}/output")
    assert (answer.status_code, answer.json()["code"]) == (409, "batch_prediction_not_ready")


def test_missing_output_file_is_not_found(client: TestClient, session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING)
    leases.finish(session, lease_of(job), make_output())
    session.commit()
    assert client.get(f"/batch-predictions/{job.id}/output").json()["code"] == "artifact_not_found"


def test_output_and_last_event_appear_together(session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING, metrics={"completed": 50})
    leases.finish(session, lease_of(job), make_output())
    output = job.output
    assert output is not None
    assert (output.job_id, output.attempt, output.rows, output.size_bytes) == (job.id, 1, 100, len(CONTENT))
    assert (job.status, job.progress, job.metrics["completed"], job.version) == (JobStatus.SUCCEEDED, 1.0, 99, None)
    assert session.scalars(select(EventRow.kind).where(EventRow.job_id == job.id)).all() == ["done"]


def test_result_without_a_lease_is_discarded(session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING, attempt=2)
    lost = leases.Lease(job.id, 1, "worker-1")
    assert leases.finish(session, lost, make_output()) is None
    assert not leases.retry(session, lost, "killed")
    assert session.get(OutputRow, job.id) is None
    session.refresh(job)
    assert job.status is JobStatus.RUNNING


def test_retried_job_is_queued_until_no_attempt_remains(session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING, attempt=1, max_attempts=2)
    assert leases.retry(session, lease_of(job), "killed")
    assert (job.status, job.attempt, job.sent_at) == (JobStatus.QUEUED, 1, None)
    claimed = leases.claim(session, job.id, "worker-2", 60)
    assert claimed is not None
    assert not leases.retry(session, claimed[0], "killed")
    assert job.status is JobStatus.RUNNING


def test_cancelling_prediction_is_not_retried(session: Session) -> None:
    job = make_prediction(session, JobStatus.CANCELLING)
    assert not leases.retry(session, lease_of(job), "killed")


def test_reports_without_a_checkpoint_grant_no_attempt(session: Session) -> None:
    job = make_prediction(session, JobStatus.RUNNING, attempt=3, max_attempts=3)
    leases.heartbeat(session, lease_of(job), 60, Report(progress=0.1))
    leases.heartbeat(session, lease_of(job), 60, None)
    assert job.max_attempts == 3


def test_metrics_count_predictions_and_their_output_rows(client: TestClient, session: Session) -> None:
    make_job(session, status=JobStatus.RUNNING)
    make_prediction(session)
    job = make_prediction(session, JobStatus.RUNNING)
    leases.finish(session, lease_of(job), make_output())
    session.commit()
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert [samples["isthmus_jobs", status] for status in ("queued", "running", "succeeded")] == [0, 1, 0]
    assert [samples["isthmus_batch_predictions", status] for status in ("queued", "running", "succeeded")] == [1, 0, 1]
    assert samples["isthmus_batch_prediction_rows_total",] == 100
    assert samples["isthmus_job_duration_seconds_count", "batch_prediction", "succeeded"] == 1


def test_unknown_prediction_is_not_found(client: TestClient) -> None:
    unknown: UUID = uuid4()
    for path in ("", "/output", "/metrics", "/events"):
        assert client.get(f"/batch-predictions/{unknown}{path}").json()["code"] == "batch_prediction_not_found"
