"""One deployed service, on real PostgreSQL and real Redis, for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.support.databases import create_postgres_database
from tests.support.deployed_service import Client, running
from tests.support.servers import RedisServer


@pytest.fixture(scope="session")
def service(postgres_server: str, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    environment = {
        "ISTHMUS_DATABASE_URL": create_postgres_database(postgres_server, "e2e"),
        "ISTHMUS_BROKER_URL": redis_server.url.replace("/0", "/5"),
        "ISTHMUS_DATA_DIR": str(folder),
        "ISTHMUS_TRAIN_THREADS": "1",
        "ISTHMUS_PRETRAINED_FOLDERS": "*",
        "HF_HUB_OFFLINE": "1",
    }
    with running(environment, folder) as client:
        yield client
