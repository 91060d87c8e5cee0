"""Jobs over HTTP: accepted and rejected requests, and the representation of a job."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.algorithms import PARAMS
from app.db.session import db_now
from app.db.tables import DatasetRow, EventRow, JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.networks import NETWORKS
from app.schemas.trainer_messages import MetricPoint, Report
from app.services import leases, pagination
from tests.support.factories import lease_of, make_dataset, make_job, make_version
from tests.support.list_queue import ListQueue

FINE_TUNE = {"algorithm": "fine_tune"}


@pytest.fixture
def source(session: Session) -> DatasetRow:
    return stored(session)


def stored(session: Session, **fields: Any) -> DatasetRow:
    row = make_dataset(session, **fields)
    session.commit()
    return row


def unlabelled(session: Session, **fields: Any) -> DatasetRow:
    return stored(session, labelled=False, classes=None, **fields)


def job_body(dataset: DatasetRow, **fields: Any) -> dict[str, Any]:
    return {"model": "patients", "source": str(dataset.id), "params": FINE_TUNE, **fields}


def errors_of(answer: Any, status: int = 422) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def test_submitted_job_has_every_default(client: TestClient, queue: ListQueue, source: DatasetRow) -> None:
    answer = client.post("/jobs", json=job_body(source))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["status"], job["progress"], job["attempt"], job["eta_seconds"]) == ("queued", 0.0, 0, None)
    assert (job["model"], job["source"], job["target"]) == ("patients", str(source.id), None)
    assert job["params"]["epochs"] == 20
    assert job["base"] == {"network": "mlp", "width": 100, "layers": 1, "dropout": 0.1}
    assert (job["metrics"], job["warnings"], job["error"], job["version"]) == ({}, [], None, None)
    assert [str(job_id) for job_id in queue.sent] == [job["id"]]
    assert client.get(answer.headers["location"]).json() == job


def test_job_with_target_and_evaluation_is_accepted(client: TestClient, session: Session, source: DatasetRow) -> None:
    target, evaluation = unlabelled(session), stored(session, classes={"yes": 3})
    answer = client.post(
        "/jobs", json=job_body(source, target=str(target.id), evaluation=str(evaluation.id), params={"algorithm": "dann"})
    )
    assert answer.status_code == 202, answer.text
    assert (answer.json()["target"], answer.json()["evaluation"]) == (str(target.id), str(evaluation.id))
    assert answer.json()["max_attempts"] == 3


def test_newest_datasets_of_the_names_and_auto_are_the_defaults(
    client: TestClient, session: Session, queue: ListQueue, source: DatasetRow
) -> None:
    stored(session, name="ward-2", created_at=db_now(-60))
    newest = unlabelled(session, name="ward-2")
    job = client.post("/jobs", json={"model": "m", "source": source.name, "target": "ward-2"}).json()
    assert (job["source"], job["target"]) == (str(source.id), str(newest.id))
    assert (job["params"]["algorithm"], job["phase"], job["position"]) == ("auto", "queued", 1)
    second = client.post("/jobs", json=job_body(source)).json()
    listed = {one["id"]: one["position"] for one in client.get("/jobs").json()["data"]}
    assert listed == {job["id"]: 1, second["id"]: 2}
    assert client.get(f"/jobs/{second['id']}").json()["position"] == 2
    assert "no dataset named 'ward-9'" in errors_of(client.post("/jobs", json=job_body(source, target="ward-9")))["/target"]
    usages = client.get(f"/datasets/{source.id}/usages").json()["data"]
    assert [(one["job"], one["roles"]) for one in usages] == [(second["id"], ["source"]), (job["id"], ["source"])]


def test_each_missing_dataset_is_named(client: TestClient, session: Session, source: DatasetRow) -> None:
    missing, gone = uuid4(), stored(session, deleted_at=source.created_at, fingerprint=None)
    errors = errors_of(client.post("/jobs", json=job_body(source, target=str(missing), evaluation=str(gone.id))))
    assert errors == {"/target": f"There is no dataset {missing}.", "/evaluation": f"There is no dataset {gone.id}."}


def test_adaptation_without_a_target_is_rejected(client: TestClient, source: DatasetRow) -> None:
    assert errors_of(client.post("/jobs", json=job_body(source, params={"algorithm": "dann"}))) == {
        "/target": "`dann` needs a target dataset"
    }


def test_job_without_source_needs_a_suitable_method_and_a_version(
    client: TestClient, session: Session, source: DatasetRow
) -> None:
    def refused(**fields: Any) -> dict[str, str]:
        return errors_of(client.post("/jobs", json={"model": "patients", "target": str(source.id), **fields}))

    assert refused(params={"algorithm": "dann"}) == {"/source": "`dann` needs a source dataset"}
    adabn = {"params": {"algorithm": "adabn"}}
    assert set(refused(**adabn)) == {"/base"}
    assert set(refused(**adabn, base={"network": "mlp"})) == {"/base"}
    assert set(refused(**adabn, base={"model": "nothing"})) == {"/base/model"}
    make_version(session, model="photos", modality="image")
    assert "image data" in refused(**adabn, base={"model": "photos"})["/target"]


@pytest.mark.parametrize("algorithm", PARAMS)
def test_target_equal_to_source_is_rejected(client: TestClient, source: DatasetRow, algorithm: str) -> None:
    answer = client.post("/jobs", json=job_body(source, target=str(source.id), params={"algorithm": algorithm}))
    assert errors_of(answer) == {"/target": "is the source itself; name a dataset of another domain"}


def test_unlabelled_source_is_rejected(client: TestClient, session: Session) -> None:
    assert "/source" in errors_of(client.post("/jobs", json=job_body(unlabelled(session))))


def test_target_with_other_columns_is_rejected(client: TestClient, session: Session, source: DatasetRow) -> None:
    other = unlabelled(session, profile={"columns": [{"name": "weight", "kind": "number", "missing": 0}], "label": None})
    answer = client.post("/jobs", json=job_body(source, target=str(other.id)))
    assert set(errors_of(answer)) == {"/target"}
    assert answer.json()["code"] == "incompatible_datasets"
    assert "weight" in answer.text


def test_evaluation_with_unknown_classes_is_rejected(client: TestClient, session: Session, source: DatasetRow) -> None:
    other = stored(session, classes={"yes": 1, "perhaps": 2})
    assert "'perhaps'" in errors_of(client.post("/jobs", json=job_body(source, evaluation=str(other.id))))["/evaluation"]


def test_evaluation_equal_to_training_data_is_rejected(client: TestClient, source: DatasetRow) -> None:
    assert "/evaluation" in errors_of(client.post("/jobs", json=job_body(source, evaluation=str(source.id))))


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("model", "a:3", "/model"),
        ("model", "", "/model"),
        ("source", "not an id", "/source"),
        ("params", {"algorithm": "magic"}, "/params"),
        ("params", {"epochs": 3}, "/params"),
        ("params", {"algorithm": "fine_tune", "epochs": 0}, "/params/epochs"),
        ("params", {"algorithm": "fine_tune", "momentum": 0.9}, "/params/momentum"),
        ("params", {"algorithm": "fine_tune", "a/b~": 1}, "/params/a~1b~0"),
        ("base", {"network": "gpt"}, "/base"),
        ("base", {"network": "cnn"}, "/base"),
        ("base", {"network": "mlp", "width": "wide"}, "/base/width"),
        ("base", {"network": "mlp", "width": 8192, "layers": 2}, "/base"),
        ("base", {"network": "resnet", "width": 256, "input_size": 128}, "/base"),
        ("base", {"network": "mlp", "model": "digits"}, "/base/model"),
        ("base", {"model": "nothing:1"}, "/base/model"),
        ("base", {"model": "\x00"}, "/base/model"),
        ("base", {"pretrained": "a\x00"}, "/base/pretrained"),
        ("base", {}, "/base"),
        ("base", "mlp", "/base"),
        ("priority", 7, "/priority"),
    ],
)
def test_invalid_field_of_a_job_is_named(client: TestClient, source: DatasetRow, field: str, value: Any, pointer: str) -> None:
    assert list(errors_of(client.post("/jobs", json=job_body(source, **{field: value})))) == [pointer]


def test_non_string_key_is_rejected(client: TestClient) -> None:
    body = b'{"model": "m", "source": "%s", "params": {"algorithm": "fine_tune"}, "\\ud800": 1}' % str(uuid4()).encode()
    assert list(errors_of(client.post("/jobs", content=body, headers={"content-type": "application/json"}))) == [""]


def test_missing_fields_are_named(client: TestClient) -> None:
    assert set(errors_of(client.post("/jobs", json={}))) == {"/model"}


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
def test_body_of_another_type_is_rejected(client: TestClient, body: bytes) -> None:
    assert client.post("/jobs", content=body, headers={"content-type": "application/json"}).status_code in (400, 422)


def test_invalid_json_is_reported_with_its_position(client: TestClient) -> None:
    answer = client.post("/jobs", content=b'{"model": "m",}', headers={"content-type": "application/json"})
    assert "character 14: " in errors_of(answer)[""]
    assert "character 14: " in answer.json()["detail"]


def test_detail_summarises_the_first_errors(client: TestClient, source: DatasetRow) -> None:
    answer = client.post("/jobs", json=job_body(source, params={"algorithm": "dann"}))
    assert answer.json()["detail"] == "/target: `dann` needs a target dataset"
    answer = client.post("/jobs", json=job_body(source, a=1, b=2, c=3, d=4))
    assert answer.json()["detail"].endswith("/c: Extra inputs are not permitted (and 1 more)")


def test_other_content_type_of_a_job_is_rejected(client: TestClient, source: DatasetRow) -> None:
    answer = client.post("/jobs", data={"model": "digits"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_type")


def test_base_model_is_fixed_to_its_version_at_submission(client: TestClient, session: Session, source: DatasetRow) -> None:
    first = make_version(session, model="heart")
    session.commit()
    job = client.post("/jobs", json=job_body(source, base={"model": "heart"})).json()
    make_version(session, model="heart")
    session.commit()
    assert job["base"] == {"model": "heart:1"}
    assert session.scalars(select(JobRow.base_version_id).where(JobRow.model_name == "patients")).all() == [first.id]


def test_base_model_of_another_modality_is_rejected(client: TestClient, session: Session, source: DatasetRow) -> None:
    make_version(session, model="digits", modality="image")
    session.commit()
    assert "image" in errors_of(client.post("/jobs", json=job_body(source, base={"model": "digits:1"})))["/base/model"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": "number"}, "column 'sex' of the model is missing"),
        ({"age": "number", "sex": "category", "pulse": "number"}, "column 'pulse' is not in the model"),
        ({"age": "category", "sex": "category"}, "column 'age' contains categories, in the model numbers"),
    ],
)
def test_base_model_with_other_columns_is_rejected(
    client: TestClient, session: Session, columns: dict[str, str], message: str
) -> None:
    make_version(session, model="heart")
    profile = {"columns": [{"name": name, "kind": kind, "missing": 0} for name, kind in columns.items()], "label": "label"}
    answer = client.post("/jobs", json=job_body(stored(session, profile=profile), base={"model": "heart"}))
    assert errors_of(answer) == {"/base/model": message}


def test_source_with_one_example_per_class_is_rejected(client: TestClient, session: Session) -> None:
    answer = client.post("/jobs", json=job_body(stored(session, classes={"no": 1, "yes": 1})))
    assert "one example of each class" in errors_of(answer)["/source"]


def test_pretrained_base_selects_the_network_of_its_modality(client: TestClient, session: Session) -> None:
    texts = stored(session, modality="text", profile={"text": "text", "label": "label"})
    job = client.post("/jobs", json=job_body(texts, base={"pretrained": "some/encoder"})).json()
    assert job["base"] == {
        "network": "transformers",
        "pretrained": "some/encoder",
        "frozen": False,
        "head": "bottleneck",
        "max_length": 128,
    }


def test_pretrained_base_for_tables_is_rejected(client: TestClient, source: DatasetRow) -> None:
    answer = client.post("/jobs", json=job_body(source, base={"pretrained": "some/encoder"}))
    assert "is not for tabular data" in errors_of(answer)["/base"]


@pytest.mark.parametrize(
    ("base", "pointer"),
    [
        ({"network": "transformers", "pretrained": "some/encoder", "config": {"model_type": "bert"}}, "/base/config"),
        ({"network": "transformers", "pretrained": "some/encoder", "config": None}, "/base/config"),
    ],
)
def test_manifest_only_options_are_rejected(client: TestClient, session: Session, base: dict[str, Any], pointer: str) -> None:
    texts = stored(session, modality="text", profile={"text": "text", "label": "label"})
    assert errors_of(client.post("/jobs", json=job_body(texts, base=base))) == {pointer: "Extra inputs are not permitted"}


def test_manifest_only_options_are_not_in_the_response(client: TestClient) -> None:
    listed = {network["name"]: network["parameters"]["properties"] for network in client.get("/networks").json()["data"]}
    document = client.get("/openapi.json").json()["components"]["schemas"]
    for name, network in NETWORKS.items():
        assert listed[name].keys() == network.model_fields.keys() - network.manifest_only_fields
        assert document[network.__name__]["properties"].keys() == listed[name].keys()
    assert NETWORKS["transformers"].manifest_only_fields == {"config"}


def test_equal_key_and_request_return_the_same_job(client: TestClient, queue: ListQueue, source: DatasetRow) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = client.post("/jobs", json=job_body(source), headers=headers)
    with_defaults = job_body(source, target=None, params={"epochs": 20, **FINE_TUNE})
    again = client.post("/jobs", json=with_defaults, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (202, first.json(), first.headers["location"])
    assert len(queue.sent) == 1


def test_equal_key_with_another_request_is_a_conflict(client: TestClient, source: DatasetRow) -> None:
    headers = {"Idempotency-Key": "monday"}
    client.post("/jobs", json=job_body(source), headers=headers)
    answer = client.post("/jobs", json=job_body(source, model="other"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


def test_job_accepted_during_a_broker_outage_is_sent_later(
    client: TestClient, session: Session, queue: ListQueue, source: DatasetRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise ServiceUnavailable("The broker is unreachable. Try again later.")

    monkeypatch.setattr(queue, "send", refuse)
    answer = client.post("/jobs", json=job_body(source))
    assert answer.status_code == 202
    assert leases.claim_unsent(session, resend_seconds=60) == []
    assert [str(job_id) for job_id in leases.claim_unsent(session, resend_seconds=0)] == [answer.json()["id"]]


def test_jobs_are_listed_newest_first_in_pages(client: TestClient, session: Session) -> None:
    ids = [str(make_job(session).id) for _ in range(5)]
    session.commit()
    seen, after = [], None
    while True:
        page = client.get("/jobs", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [job["id"] for job in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert set(seen) == set(ids)
    assert len(seen) == 5


def test_jobs_are_filtered_by_status_and_model(client: TestClient, session: Session) -> None:
    expected = [make_job(session, status=status, model_name="heart") for status in (JobStatus.RUNNING, JobStatus.FAILED)]
    make_job(session, model_name="heart")
    make_job(session, status=JobStatus.RUNNING)
    session.commit()
    page = client.get("/jobs", params={"status": ["running", "failed"], "model": "heart"}).json()
    assert {job["id"] for job in page["data"]} == {str(job.id) for job in expected}


@pytest.mark.parametrize("query", [{"after": "nonsense"}, {"status": "lost"}, {"limit": 0}, {"model": "a b"}])
def test_invalid_filter_is_named(client: TestClient, query: dict[str, Any]) -> None:
    assert [pointer[:7] for pointer in errors_of(client.get("/jobs", params=query))] == ["/query/"]


def test_cursor_with_a_huge_number_is_rejected(client: TestClient, session: Session) -> None:
    job = make_job(session)
    session.commit()
    answer = client.get(f"/jobs/{job.id}/metrics", params={"after": pagination.encode(10**30, "total")})
    assert list(errors_of(answer)) == ["/query/after"]


def test_unknown_job_is_a_problem_document(client: TestClient) -> None:
    for answer in (
        client.get(f"/jobs/{uuid4()}"),
        client.post(f"/jobs/{uuid4()}/cancel"),
        client.get(f"/jobs/{uuid4()}/metrics"),
        client.get(f"/jobs/{uuid4()}/events"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_eta_is_based_on_the_current_attempt(client: TestClient, session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING, progress=0.6, first_progress=0.5)
    assert job.started_at is not None
    started_at = job.started_at - timedelta(seconds=10)
    session.execute(update(JobRow).values(started_at=started_at, updated_at=job.started_at))
    session.commit()
    assert client.get(f"/jobs/{job.id}").json()["eta_seconds"] == pytest.approx(40, abs=0.1)


def test_finished_job_has_a_version_and_failed_job_an_error(client: TestClient, session: Session) -> None:
    version = make_version(session, model="digits")
    failed = make_job(session, status=JobStatus.FAILED, error_code="bad_data", error_message="Row 7 is broken.")
    session.commit()
    assert client.get(f"/jobs/{version.job_id}").json()["version"] == {"model": "digits", "number": 1}
    assert client.get(f"/jobs/{failed.id}").json()["error"] == {"code": "bad_data", "message": "Row 7 is broken."}


def test_queued_job_is_cancelled_at_once_and_only_once(client: TestClient, session: Session) -> None:
    job = make_job(session)
    session.commit()
    first, again = (client.post(f"/jobs/{job.id}/cancel") for _ in range(2))
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert first.json()["finished_at"] is not None
    assert again.json() == first.json()
    assert leases.claim(session, job.id, "worker-1", 60) is None
    assert session.scalars(select(EventRow.kind).where(EventRow.job_id == job.id)).all() == ["done"]


def test_running_job_is_cancelling_until_its_worker_stops(client: TestClient, session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    lease = lease_of(job)
    session.commit()
    assert [client.post(f"/jobs/{job.id}/cancel").json()["status"] for _ in range(2)] == ["cancelling", "cancelling"]
    assert leases.heartbeat(session, lease, 60, None) == JobStatus.CANCELLING
    assert leases.acknowledge_cancel(session, lease)
    session.commit()
    assert client.post(f"/jobs/{job.id}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED])
def test_finished_job_cannot_be_cancelled(client: TestClient, session: Session, status: JobStatus) -> None:
    job = make_job(session, status=status)
    session.commit()
    answer = client.post(f"/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")


def test_metrics_are_paged_by_step_and_filtered_by_name(client: TestClient, session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    names = ("domain", "classification")
    points = [MetricPoint(step=step, epoch=step / 2, name=name, value=step * 1.5) for name in names for step in (1, 2, 3)]
    leases.heartbeat(session, lease_of(job), 60, Report(progress=0.5, metrics=points))
    session.commit()
    first = client.get(f"/jobs/{job.id}/metrics", params={"limit": 4}).json()
    rest = client.get(f"/jobs/{job.id}/metrics", params={"limit": 4, "after": first["next"]}).json()
    assert [(point["step"], point["name"]) for point in first["data"] + rest["data"]] == [
        (step, name) for step in (1, 2, 3) for name in sorted(names)
    ]
    assert rest["next"] is None
    only = client.get(f"/jobs/{job.id}/metrics", params={"name": "domain"}).json()["data"]
    assert only[0] == {"step": 1, "epoch": 0.5, "name": "domain", "value": 1.5}
    assert {point["name"] for point in only} == {"domain"}


def test_catalogues_have_schemas_of_all_parameters(client: TestClient) -> None:
    algorithms = {entry["name"]: entry for entry in client.get("/algorithms").json()["data"]}
    assert {"dann", "fine_tune"} <= set(algorithms)
    assert (algorithms["dann"]["needs_target"], algorithms["fine_tune"]["needs_target"]) == (True, False)
    assert "lambda_max" in algorithms["dann"]["parameters"]["properties"]
    networks = {entry["name"]: entry for entry in client.get("/networks").json()["data"]}
    assert networks["cnn"]["modalities"] == ["image"]
    assert "width" in networks["mlp"]["parameters"]["properties"]


def test_plain_methods_name_the_network_that_they_fit(client: TestClient, session: Session, source: DatasetRow) -> None:
    job = client.post("/jobs", json=job_body(source, target=None, params={"algorithm": "gradient_boosting"})).json()
    assert job["base"] == {"network": "trees"}
    make_version(session, model="trained")
    base = {"base": {"model": "trained"}, "params": {"algorithm": "logistic_regression"}}
    assert set(errors_of(client.post("/jobs", json=job_body(source, target=None, **base)))) == {"/base/model"}
    photos = stored(session, modality="image", profile={"height": [8, 8], "width": [8, 8]})
    answer = client.post("/jobs", json=job_body(photos, target=None, params={"algorithm": "logistic_regression"}))
    assert "frozen encoders" in errors_of(answer)["/params/algorithm"]


def test_gradient_steps_cannot_train_trees(client: TestClient, source: DatasetRow) -> None:
    answer = client.post("/jobs", json=job_body(source, target=None, base={"network": "trees"}))
    assert set(errors_of(answer)) == {"/base"}
