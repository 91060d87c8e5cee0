"""Deletions and jobs that name the same version at the same time: one of them is refused."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import VersionRow
from app.errors import ModelNotFound, VersionInUse
from app.services import deletion, models
from app.storage import Storage
from tests.support.factories import make_job, make_version

Sessions = sessionmaker[Session]


@pytest.fixture
def model(live_sessions: Sessions) -> str:
    """Return the name of a model with two versions."""
    name = f"m-{uuid.uuid4().hex[:8]}"
    with live_sessions.begin() as session:
        make_version(session, model=name)
        make_version(session, model=name)
    return name


def delete_first(sessions: Sessions, storage: Storage, model: str) -> None:
    with sessions.begin() as session:
        deletion.delete_version(session, storage, model, 1)


def test_version_named_by_a_job_that_is_being_posted_is_kept(live_sessions: Sessions, storage: Storage, model: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as posting:
            version = models.resolve_for_job(posting, f"{model}:1")
            make_job(posting, model_name=model, base_version_id=version.id)
            deleted = pool.submit(delete_first, live_sessions, storage, model)
        with pytest.raises(VersionInUse):
            deleted.result(30)


def test_job_cannot_name_a_version_that_is_being_deleted(live_sessions: Sessions, storage: Storage, model: str) -> None:
    def name_first() -> VersionRow:
        with live_sessions.begin() as session:
            return models.resolve_for_job(session, f"{model}:1")

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as session:
            deletion.delete_version(session, storage, model, 1)
            named = pool.submit(name_first)
        with pytest.raises(ModelNotFound):
            named.result(30)


def test_only_one_of_two_concurrent_deletions_of_the_last_versions_succeeds(
    live_sessions: Sessions, storage: Storage, model: str
) -> None:
    def delete(number: int) -> bool:
        with live_sessions.begin() as session:
            try:
                deletion.delete_version(session, storage, model, number)
            except VersionInUse:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(delete, [1, 2])) == [False, True]
    with live_sessions() as session:
        assert len(session.scalars(select(VersionRow.number).where(VersionRow.model.has(name=model))).all()) == 1
