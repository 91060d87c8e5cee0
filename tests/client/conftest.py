"""The app behind a real socket, with a version of each modality, for all tests of the client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import isthmus
from app.main import create_app
from tests.support.list_queue import ListQueue
from tests.support.live_server import address, live
from tests.support.published_models import CLASSES, EXAMPLES, export_network, store_version
from tests.support.quick_settings import data_folder, quick_settings


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[str]:
    settings = quick_settings(data_dir=data_folder(tmp_path_factory.mktemp("client"), empty_sqlite), _env_file=None)
    app = create_app(settings, ListQueue())
    with TestClient(app) as client:
        with app.state.sessions() as session:
            for name in EXAMPLES:
                exported = export_network(name, CLASSES, tmp_path_factory.mktemp(name))
                store_version(session, settings.open_storage(), exported, name)
        with live(client) as running:
            host, port = address(running)
            yield f"http://{host}:{port}"


@pytest.fixture(scope="package")
def client(server: str) -> Iterator[isthmus.Client]:
    with isthmus.Client(server) as client:
        yield client
