"""A full disk is reported as such, loses nothing, and is over when there is room again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.migrate import upgrade
from app.db.outages import is_disk_full
from app.main import create_app
from app.settings import Settings
from tests.support.factories import make_version
from tests.support.list_queue import ListQueue
from tests.support.small_disk import fill, make_room, mounted_disk

TABLE = b"age,label\n30,no\n40,yes\n50,no\n60,yes\n"
DISK_MEGABYTES = 16
RESERVE = 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", DISK_MEGABYTES) as disk:
        yield disk


@pytest.fixture
def small_client(disk: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=disk / "data", reserved_disk_bytes=RESERVE, _env_file=None)
    upgrade(settings.database)
    with TestClient(create_app(settings, ListQueue()), raise_server_exceptions=False) as client:
        yield client


def upload(client: TestClient, content: bytes, name: str = "patients") -> Any:
    return client.post("/datasets", data={"name": name}, files={"file": ("patients.csv", content, "text/csv")})


def assert_insufficient(response: Any) -> None:
    assert response.status_code == 507, response.text
    assert response.json()["code"] == "insufficient_storage"
    assert "MB" in response.json()["detail"] or "disk of the database" in response.json()["detail"]
    assert "Delete datasets" in response.json()["detail"]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_writes_are_refused_on_a_full_disk_and_work_again_with_room(small_client: TestClient, disk: Path) -> None:
    dataset = upload(small_client, TABLE).json()["id"]
    with small_client.app.state.sessions.begin() as session:  # type: ignore[attr-defined]
        make_version(session, model="digits")
    job = {"model": "new", "source": dataset, "params": {"algorithm": "fine_tune"}}
    fill(disk)
    assert_insufficient(upload(small_client, TABLE + b"70,no\n"))
    assert_insufficient(small_client.post("/jobs", json=job))
    assert_insufficient(small_client.put("/models/digits/aliases/production", json={"version": 1}))
    assert_insufficient(small_client.delete(f"/datasets/{dataset}"))
    assert small_client.get(f"/datasets/{dataset}").status_code == 200
    assert small_client.get(f"/datasets/{dataset}/preview").status_code == 200
    assert small_client.get("/health/live").status_code == 200
    assert small_client.get("/health/ready").json()["storage"] == "error"

    make_room(disk)
    assert files(disk / "data" / "scratch") == []
    assert files(disk / "data" / "storage") == ["data.csv"]
    assert small_client.get("/health/ready").status_code == 200
    assert upload(small_client, TABLE + b"70,no\n").status_code == 201
    assert small_client.post("/jobs", json=job).status_code == 202
    assert small_client.put("/models/digits/aliases/production", json={"version": 1}).status_code == 200


def test_upload_that_cannot_fit_is_refused_at_its_head(small_client: TestClient, disk: Path) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=edge", "Content-Length": str(DISK_MEGABYTES * 2**20)}

    def body() -> Iterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    assert_insufficient(small_client.post("/datasets", content=body(), headers=boundary))
    assert files(disk / "data" / "scratch") == []


def test_upload_of_unknown_length_stops_at_the_reserve(small_client: TestClient, disk: Path) -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(DISK_MEGABYTES * 2):
            yield b"x" * 2**20

    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    assert_insufficient(small_client.post("/datasets", content=body(), headers=headers))
    assert files(disk / "data" / "scratch") == []


def test_upload_larger_than_half_of_the_free_space_fits(small_client: TestClient, disk: Path) -> None:
    rows = b"".join(b"%d,%s\n" % (number, b"yes" if number % 2 else b"no") for number in range(900_000))
    content = b"age,label\n" + rows
    assert 2 * len(content) > (DISK_MEGABYTES - 3) * 2**20
    assert upload(small_client, content).status_code == 201
    assert files(disk / "data" / "scratch") == []


def test_full_database_is_recognised_by_its_error(session: Session) -> None:
    if session.get_bind().dialect.name == "sqlite":
        pytest.skip("the other tests fill SQLite's disk")
    raised = "DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$"
    with pytest.raises(DBAPIError) as caught, session.begin_nested():
        session.connection().exec_driver_sql(raised)
    assert is_disk_full(caught.value)
