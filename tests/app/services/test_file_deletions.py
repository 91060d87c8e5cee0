"""Files of deleted rows: local ones disappear with the commit, those of an object store with the next sweep."""

from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import FileDeletionRow
from app.services import file_deletions
from app.storage import Storage

Sessions = sessionmaker[Session]
KEY = "datasets/d/data.csv"


def delete(sessions: Sessions, storage: Storage) -> None:
    with sessions.begin() as session:
        file_deletions.schedule(session, storage, ["datasets/d"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path / "file"


def test_local_file_is_removed_after_the_commit(sessions: Sessions, storage: Storage, file: Path) -> None:
    storage.put(KEY, file)
    with sessions() as session:
        file_deletions.schedule(session, storage, ["datasets/d"])
        assert storage.exists(KEY)
        session.commit()
    assert not storage.exists(KEY)


def test_commit_does_not_wait_for_an_object_store(sessions: Sessions, file: Path) -> None:
    store = Storage("memory://file-deletions")  # not on this machine, as far as the storage knows
    store.put(KEY, file)
    delete(sessions, store)
    assert store.exists(KEY)
    assert file_deletions.remove_remaining(sessions, store) == 1
    assert not store.exists(KEY)


def test_unreachable_object_store_keeps_the_deletion_pending(
    sessions: Sessions, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Storage("memory://file-deletions")
    store.put(KEY, file)
    delete(sessions, store)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as away:
        away.setattr(store.filesystem, "rm", fail)
        assert file_deletions.remove_remaining(sessions, store) == 0
    with sessions() as session:
        assert session.scalars(select(FileDeletionRow.storage_key)).all() == ["datasets/d"]
    assert file_deletions.remove_remaining(sessions, store) == 1
