"""Two requests that give two models the same name at the same time."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.errors import ModelNameTaken
from app.services import models
from tests.support.factories import make_version

Sessions = sessionmaker[Session]


def test_second_of_two_concurrent_renames_to_one_name_is_refused(live_sessions: Sessions) -> None:
    first, second, name = (f"m-{uuid.uuid4().hex[:8]}" for _ in range(3))
    with live_sessions.begin() as session:
        make_version(session, model=first)
        make_version(session, model=second)

    def rename() -> None:
        with live_sessions.begin() as session:
            models.change(session, second, {"name": name})

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as session:
            models.change(session, first, {"name": name})
            renamed = pool.submit(rename)
            with pytest.raises(TimeoutError):  # it waits for the first
                renamed.result(0.5)
        with pytest.raises(ModelNameTaken):
            renamed.result(30)
    with live_sessions() as session:
        assert models.get(session, second).name == second
