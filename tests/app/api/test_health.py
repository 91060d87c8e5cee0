"""Liveness, readiness, and a scrape, with parts that are really away."""

from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from fastapi.testclient import TestClient

from app.db.migrate import upgrade
from app.main import create_app
from app.observability.health import Dependencies
from app.settings import Settings
from tests.support.servers import RedisServer, free_port


def serve(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), raise_server_exceptions=False)


@pytest.fixture
def migrated(settings: Settings) -> Settings:
    upgrade(settings.database)
    return settings


def test_embedded_service_is_ready(migrated: Settings) -> None:
    with serve(migrated) as client:
        answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"database": "ok", "broker": "ok", "storage": "ok"}


def test_readiness_follows_redis(migrated: Settings, redis_server: RedisServer, tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    with serve(migrated.model_copy(update={"broker_url": server.url})) as client:
        assert client.get("/health/ready").status_code == 200
        server.stop()
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"]
        assert answer.json()["code"] == "not_ready"
        assert {part: answer.json()[part] for part in ("database", "broker", "storage")} == {
            "database": "ok",
            "broker": "error",
            "storage": "ok",
        }
        scrape = client.get("/metrics")
        assert scrape.status_code == 200
        assert 'isthmus_dependency_up{dependency="broker"} 0.0' in scrape.text
        assert 'isthmus_jobs{status="queued"} 0.0' in scrape.text
        assert client.get("/health/live").status_code == 200
        server.start()
        assert client.get("/health/ready").status_code == 200
    server.stop()


def test_unreachable_database_is_reported_and_metrics_remain(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": f"postgresql://user@127.0.0.1:{free_port()}/none"})
    with serve(away) as client:
        answer = client.get("/health/ready").json()
        assert (answer["status"], answer["database"], answer["broker"]) == (503, "error", "ok")
        scrape = client.get("/metrics")
    assert scrape.status_code == 200
    assert 'isthmus_dependency_up{dependency="database"} 0.0' in scrape.text
    assert "isthmus_queue_depth 0.0" in scrape.text


def test_unwritable_storage_is_reported(migrated: Settings) -> None:
    (migrated.data_dir / "storage").write_text("a file where the folder should be")
    with serve(migrated) as client:
        answer = client.get("/health/ready").json()
    assert (answer["database"], answer["broker"], answer["storage"]) == ("ok", "ok", "error")


def test_hanging_dependency_costs_a_bounded_time() -> None:
    release = Event()
    parts = Dependencies({"hanging": release.wait, "well": lambda: None}, limit_seconds=0.1)
    start = monotonic()
    for _ in range(6):  # more often than there are threads
        errors = parts.errors()
        assert str(errors["hanging"]) == "no response within 0.1 s"
    release.set()
    parts.close()
    assert monotonic() - start < 3
