"""A data directory of the service with versions, as made by jobs."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from app.db.migrate import upgrade
from app.db.session import SessionFactory, make_engine
from app.settings import Settings
from app.storage import Storage
from benchmarks.serving.subjects import Subject
from tests.support.published_models import store_version


def fill(data: Path, versions: Iterable[tuple[str, Subject]]) -> None:
    """Make a data directory with these versions, by model name, in this order."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    settings = Settings(_env_file=None, data_dir=data)
    upgrade(settings.database)
    engine, storage = make_engine(settings.database), Storage(settings.storage)
    with SessionFactory(engine)() as session:
        for model, subject in versions:
            store_version(session, storage, subject.exported, model)
    engine.dispose()
