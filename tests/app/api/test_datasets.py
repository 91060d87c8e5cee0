"""Datasets over HTTP, on both databases."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import DatasetRow
from app.errors import DatasetInUse, DatasetNotFound, IncompatibleDatasets
from app.job_state import JobStatus
from app.services import dataset_differences, datasets
from app.services.multipart_uploads import Upload
from app.services.upload_checks.checker import UploadChecker
from app.settings import Settings
from app.storage import Storage
from tests.support import factories
from tests.support.malformed_uploads import BAD, Bad

CSV = factories.csv_bytes(["age", "sex", "label"], [[40, "m", "no"], [50, "f", "yes"], ["", "", "no"]])


def upload(client: TestClient, filename: str, content: bytes, **form: str) -> Response:
    return client.post("/datasets", data={"name": "some data", **form}, files={"file": (filename, content)})


def stored_files(settings: Settings) -> list[Path]:
    return [path for path in settings.data_dir.rglob("*") if path.is_file() and "db" not in path.name]


def test_uploaded_table_is_described(client: TestClient) -> None:
    answer = upload(client, "patients.csv", CSV)
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["Location"] == f"/datasets/{body['id']}"
    assert body["modality"] == "tabular"
    assert body["rows"] == 3
    assert body["classes"] == {"no": 2, "yes": 1}
    assert body["size_bytes"] == len(CSV)
    assert body["profile"]["columns"] == [
        {"name": "age", "kind": "number", "missing": 1, "range": [40.0, 50.0]},
        {"name": "sex", "kind": "category", "missing": 1, "levels": ["f", "m"]},
    ]
    assert client.get(f"/datasets/{body['id']}").json() == body
    assert client.get("/datasets").json() == {"data": [body], "next": None}


def test_classes_are_in_order(client: TestClient) -> None:
    rows = [[n, label] for n, label in enumerate([10, 9, 100, 9])]
    body = upload(client, "a.csv", factories.csv_bytes(["x", "label"], rows)).json()
    assert list(body["classes"].items()) == [("9", 2), ("10", 1), ("100", 1)]
    assert list(client.get(f"/datasets/{body['id']}").json()["classes"]) == ["9", "10", "100"]


def test_equal_bytes_and_options_are_one_dataset(client: TestClient, settings: Settings) -> None:
    first = upload(client, "a.csv", CSV)
    again = upload(client, "b.csv", CSV, name="another name")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(stored_files(settings)) == 1


def test_other_options_make_another_dataset(client: TestClient) -> None:
    first = upload(client, "a.csv", CSV)
    other = upload(client, "a.csv", CSV, options=json.dumps({"label": "sex", "categories": ["label"]}), modality="tabular")
    assert [warning["code"] for warning in other.json()["warnings"]] == ["partly_labelled"]  # a row has no sex
    other = upload(client, "a.csv", CSV, options=json.dumps({"categories": ["age"]}))
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_invalid_uploads_are_rejected_with_the_position(client: TestClient, settings: Settings, case: Bad) -> None:
    answer = upload(client, case.filename, case.content, **case.form)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    assert any(error["pointer"].startswith(case.pointer) and case.text in error["detail"] for error in errors), errors
    assert stored_files(settings) == []


def test_many_errors_are_listed_up_to_a_limit(client: TestClient) -> None:
    rows = [("1", "no"), *[("inf", "yes")] * 100]
    body = upload(client, "a.csv", factories.csv_bytes(["x", "label"], rows)).json()
    assert [error["pointer"] for error in body["errors"]] == [f"/rows/{row}/x" for row in range(2, 22)]


def test_previews_show_the_first_examples(client: TestClient) -> None:
    table = upload(client, "a.csv", CSV).json()["id"]
    assert client.get(f"/datasets/{table}/preview?limit=1").json() == {"data": [{"age": 40.0, "sex": "m", "label": "no"}]}
    texts = upload(client, "a.jsonl", factories.jsonl_bytes([{"text": "good"}, {"text": "bad"}])).json()["id"]
    assert client.get(f"/datasets/{texts}/preview").json() == {"data": [{"text": "good"}, {"text": "bad"}]}
    images = upload(client, "a.zip", factories.image_zip()).json()["id"]
    first = client.get(f"/datasets/{images}/preview?limit=2").json()["data"][0]
    assert first["thumbnail"].startswith("data:image/png;base64,")
    assert (first["height"], first["width"], first["label"]) == (8, 8, "cat")


def test_rows_are_read_by_number_with_the_full_image(client: TestClient) -> None:
    table = upload(client, "a.csv", CSV).json()["id"]
    page = client.get(f"/datasets/{table}/rows?first=2&limit=1").json()
    assert page["data"] == [{"row": 2, "example": client.get(f"/datasets/{table}/preview").json()["data"][1]}]
    assert client.get(f"/datasets/{table}/rows/{page['total'] + 1}").status_code == 404
    images = upload(client, "a.npz", factories.npz_bytes(x=np.full((3, 200, 150), 7, np.uint8))).json()["id"]
    example = client.get(f"/datasets/{images}/rows/3").json()["example"]
    content = base64.b64decode(example["image"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(content)).size == (150, 200)


def test_datasets_are_listed_newest_first_in_pages(client: TestClient) -> None:
    ids = [upload(client, "a.npz", factories.npz_bytes(x=np.full((2, 4, 4), n, np.uint8))).json()["id"] for n in range(5)]
    seen: list[str] = []
    query = "?limit=2"
    while query:
        body = client.get(f"/datasets{query}").json()
        seen += [row["id"] for row in body["data"]]
        query = f"?limit=2&after={body['next']}" if body["next"] else ""
    assert seen == ids[::-1]


def test_file_over_the_limit_is_413(client: TestClient, settings: Settings) -> None:
    client.app.state.settings = settings.model_copy(update={"max_upload_bytes": 1000})  # type: ignore[attr-defined]
    for length in (1001, 2_000_000):  # noticed while streaming, and from the header
        answer = upload(client, "a.csv", b"x" * length)
        assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
        assert answer.json()["errors"][0]["pointer"] == "/file"
    assert upload(client, "a.csv", CSV).status_code == 201


def test_another_content_type_is_415(client: TestClient) -> None:
    answer = client.post("/datasets", json={"name": "a"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--b--\r\n', "/file"),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nx,y', "/file"),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nx\n1\r\n--b--\r\n', "/name"),
        (b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\na\r\n--b--\r\n', "/other"),
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n' * 2 + b"--b--\r\n", "/name"),
        (b"no multipart at all", None),
        (b"", "/file"),
    ],
)
def test_malformed_bodies_are_422(client: TestClient, body: bytes, pointer: str | None) -> None:
    answer = client.post("/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["pointer"] for error in answer.json()["errors"]] == ([pointer] if pointer else [])


def test_unknown_dataset_is_404(client: TestClient) -> None:
    for path in (f"/datasets/{uuid4()}", f"/datasets/{uuid4()}/preview"):
        assert client.get(path).json()["code"] == "dataset_not_found"
    assert client.delete(f"/datasets/{uuid4()}").status_code == 404
    assert client.get("/datasets/nonsense").status_code == 422


def test_deleted_dataset_can_be_uploaded_again(client: TestClient, settings: Settings) -> None:
    dataset_id = upload(client, "a.csv", CSV).json()["id"]
    assert client.delete(f"/datasets/{dataset_id}").status_code == 204
    assert client.get(f"/datasets/{dataset_id}").status_code == 404
    assert client.get("/datasets").json()["data"] == []
    assert stored_files(settings) == []
    again = upload(client, "a.csv", CSV)
    assert again.status_code == 201
    assert again.json()["id"] != dataset_id


def test_dataset_of_an_active_job_cannot_be_deleted(client: TestClient, session: Session) -> None:
    row = factories.make_dataset(session)
    job = factories.make_job(session, target_id=row.id)
    session.commit()
    answer = client.delete(f"/datasets/{row.id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
    assert str(job.id) in answer.json()["detail"]


def test_dataset_of_a_finished_job_can_be_deleted(client: TestClient, session: Session) -> None:
    row = factories.make_dataset(session)
    job = factories.make_job(session, source_id=row.id, status=JobStatus.SUCCEEDED)
    session.commit()
    assert client.delete(f"/datasets/{row.id}").status_code == 204
    session.expire_all()
    assert job.source_id == row.id
    assert session.get_one(DatasetRow, row.id).digest == row.digest


def test_deleted_dataset_cannot_be_loaded_for_a_job(client: TestClient, session: Session) -> None:
    row = factories.make_dataset(session)
    session.commit()
    assert datasets.load(session, row.id).id == row.id
    session.commit()
    client.delete(f"/datasets/{row.id}")
    with pytest.raises(DatasetNotFound):
        datasets.load(session, row.id)


def test_differences_between_datasets_are_named(session: Session) -> None:
    source = factories.make_dataset(session)
    columns = [{"name": "age", "kind": "category", "missing": 0}, {"name": "weight", "kind": "number", "missing": 0}]
    target = factories.make_dataset(session, profile={"columns": columns, "label": None}, labelled=False, classes=None)
    images = factories.make_dataset(session, modality="image", format="zip")
    with pytest.raises(IncompatibleDatasets) as caught:
        dataset_differences.check_compatible(source, target, images)
    assert [(error.pointer, error.detail) for error in caught.value.errors] == [
        ("/target", "column 'age' contains categories, in the source numbers"),
        ("/evaluation", "the source is tabular data, this is image data"),
    ]


def test_source_and_evaluation_need_matching_labels(session: Session) -> None:
    labelled = factories.make_dataset(session)
    unlabelled = factories.make_dataset(session, labelled=False, classes=None)
    other = factories.make_dataset(session, classes={"no": 3, "maybe": 4})
    dataset_differences.check_compatible(labelled, unlabelled, labelled)
    for source, evaluation, message in [
        (unlabelled, None, "the source has no labels"),
        (labelled, unlabelled, "needs labels"),
        (labelled, other, "'maybe'"),
    ]:
        with pytest.raises(IncompatibleDatasets, match=message):
            dataset_differences.check_compatible(source, None, evaluation)


def test_file_names_are_shortened_and_sanitised(client: TestClient) -> None:
    names = [f"{'a' * 300}.csv", "C:\\data\\x.csv", "../../x.csv", "x\u202e.csv"]
    kept = [upload(client, name, CSV + b"%d,m,no\n" % row).json()["filename"] for row, name in enumerate(names)]
    assert kept == [f"{'a' * 251}.csv", "x.csv", "x.csv", "x\N{REPLACEMENT CHARACTER}.csv"]


def test_one_of_simultaneous_identical_uploads_is_stored(
    live_sessions: sessionmaker[Session], storage: Storage, tmp_path: Path
) -> None:
    path = factories.write(tmp_path, "upload", CSV)
    start = Barrier(6)

    def create(number: int) -> tuple[DatasetRow, bool]:
        upload = Upload(path, "a.csv", sha256(CSV).hexdigest(), len(CSV), {"name": f"n{number}"})
        start.wait(timeout=30)
        with UploadChecker() as checker:
            return datasets.create(live_sessions, storage, upload, checker)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(create, range(6)))
    assert [new for _, new in results].count(True) == 1
    assert len({row.id for row, _ in results}) == 1
    assert [file.parent.name for file in Path(storage.root).rglob("data.*")] == [str(results[0][0].id)]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "lost"])
def test_upload_keeps_its_file_when_the_commit_has_no_answer(
    live_sessions: sessionmaker[Session], storage: Storage, tmp_path: Path, committed: bool
) -> None:
    content = CSV + b"99,m,no\n" * (1 + committed)
    upload = Upload(
        factories.write(tmp_path, "upload", content), "a.csv", sha256(content).hexdigest(), len(content), {"name": "n"}
    )

    def lose_connection(connection: Connection) -> None:
        if connection.in_transaction() and uploads_are_stored():
            if committed:
                connection.connection.commit()
            raise OperationalError("COMMIT", {}, ConnectionResetError())

    def uploads_are_stored() -> bool:
        return any(Path(storage.root).rglob("data.csv"))

    engine = live_sessions.kw["bind"]
    event.listen(engine, "commit", lose_connection)
    with UploadChecker() as checker, pytest.raises(OperationalError):
        datasets.create(live_sessions, storage, upload, checker)
    event.remove(engine, "commit", lose_connection)
    assert uploads_are_stored()
    with live_sessions() as session:
        found = session.scalars(select(DatasetRow.id).where(DatasetRow.digest == upload.digest)).all()
    assert len(found) == committed


def test_deletion_waits_for_a_concurrent_job_submission(live_sessions: sessionmaker[Session], storage: Storage) -> None:
    with live_sessions.begin() as session:
        dataset_id = factories.make_dataset(session).id

    def delete() -> None:
        with live_sessions.begin() as session:
            datasets.delete(session, storage, dataset_id)

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as session:
            factories.make_job(session, target_id=datasets.load(session, dataset_id).id)
            session.flush()
            deletion = pool.submit(delete)
            with pytest.raises(TimeoutError):
                deletion.result(timeout=0.5)
        with pytest.raises(DatasetInUse):
            deletion.result(timeout=30)


@pytest.mark.parametrize(
    ("path", "modality", "rows", "labelled"),
    [
        ("tabular/heart_cleveland_labelled.csv", "tabular", 303, True),
        ("tabular/heart_hungarian_unlabelled.csv", "tabular", 294, False),
        ("images/amazon.zip", "image", 958, True),
        ("images/webcam_unlabelled.zip", "image", 295, False),
        ("text/books_labelled.jsonl", "text", 2000, True),
        ("text/dvd_unlabelled.jsonl", "text", 2000, False),
        ("digits/usps_train.npz", "image", 7291, True),
        ("digits/mnistm_unlabelled.npz", "image", 4000, False),
    ],
)
def test_real_data_is_accepted_as_it_is(
    client: TestClient, shared_data: Path, path: str, modality: str, rows: int, labelled: bool
) -> None:
    body = upload(client, Path(path).name, (shared_data / path).read_bytes()).json()
    assert (body["modality"], body["rows"], body["labelled"]) == (modality, rows, labelled)
    assert client.get(f"/datasets/{body['id']}/preview").status_code == 200
