"""API keys and protected apps for tests."""

from datetime import datetime

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.auth import keys
from app.auth.keys import KeyRights
from app.auth.scopes import SCOPES
from app.model_reference import DEFAULT_PROJECT

ALL_BUT_ADMIN = tuple(scope for scope in SCOPES if scope != "admin")


def make_key(
    sessions: "sessionmaker[Session]",
    *scopes: str,
    project: str = DEFAULT_PROJECT,
    models: list[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Add a key, by default with all scopes but `admin`, and return its text."""
    with sessions.begin() as session:
        return keys.create(session, KeyRights("test", scopes or ALL_BUT_ADMIN, project, models, expires_at))[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def id_of(key: str) -> str:
    return key.split("_")[1]


def status_of(client: TestClient, key: str, path: str = "/datasets") -> int:
    """Return the status of a GET with this key."""
    return client.get(path, headers=bearer(key)).status_code
