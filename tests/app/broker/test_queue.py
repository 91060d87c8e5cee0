"""The broker as the app sees it: both kinds, there, away, restarted or silent."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from celery import Celery

from app.broker.filesystem_transport import purge_stale_worker_queues
from app.broker.queue import QUEUE, CeleryQueue, make_celery
from app.errors import ServiceUnavailable
from app.settings import Settings
from tests.support import servers


def celery_of(data_dir: Path, broker_url: str = "") -> Celery:
    return make_celery(Settings(data_dir=data_dir, broker_url=broker_url, _env_file=None))


@pytest.fixture(params=["redis", "filesystem"])
def celery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Celery]:
    if request.param == "filesystem":
        yield celery_of(tmp_path)
        return
    server: servers.RedisServer = request.getfixturevalue("redis_server")
    app = celery_of(tmp_path, server.url)
    take_all(app)
    yield app
    app.close()


def take_all(celery: Celery) -> list[str]:
    """Receive what is in the queue, as job ids."""
    taken: list[str] = []
    with celery.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                return taken
            message.ack()
            taken.append(message.decode()[0][0])


def test_what_is_sent_waits_in_order_and_is_counted(celery: Celery) -> None:
    queue = CeleryQueue(celery)
    job_ids = [uuid4() for _ in range(5)]
    for job_id in job_ids:
        queue.send(job_id)
    assert queue.depth() == 5
    assert take_all(celery) == [str(job_id) for job_id in job_ids]
    assert queue.depth() == 0
    queue.check()


def test_asking_for_the_depth_leaves_nothing_open(celery: Celery) -> None:
    queue = CeleryQueue(celery)
    queue.send(uuid4())
    queue.depth()
    opened = psutil.Process().num_fds()
    for _ in range(20):
        queue.depth()
        queue.check()
    assert psutil.Process().num_fds() <= opened


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture(params=["absent", "silent"])
def unreachable(request: pytest.FixtureRequest, tmp_path: Path, silent_url: str) -> CeleryQueue:
    url = silent_url if request.param == "silent" else f"redis://127.0.0.1:{servers.free_port()}/0"
    return CeleryQueue(celery_of(tmp_path, url))


@pytest.mark.parametrize("ask", [lambda queue: queue.send(UUID(int=1)), CeleryQueue.depth, CeleryQueue.check])
def test_a_broker_that_does_not_answer_is_an_error_within_seconds(
    unreachable: CeleryQueue, ask: Callable[[CeleryQueue], object]
) -> None:
    started_at = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        ask(unreachable)
    assert time.monotonic() - started_at < 6


def test_sending_goes_on_after_a_restart_of_redis_and_nothing_is_lost(redis_server: servers.RedisServer, tmp_path: Path) -> None:
    celery = celery_of(tmp_path, redis_server.url)
    take_all(celery)
    queue = CeleryQueue(celery)
    before, after = uuid4(), uuid4()
    queue.send(before)
    redis_server.stop()
    with pytest.raises(ServiceUnavailable):
        queue.send(uuid4())
    redis_server.start()
    queue.send(after)
    assert take_all(celery) == [str(before), str(after)]
    celery.close()


def send_many(data_dir: Path, count: int) -> list[str]:
    queue = CeleryQueue(celery_of(data_dir))
    job_ids = [uuid4() for _ in range(count)]
    for job_id in job_ids:
        queue.send(job_id)
    return [str(job_id) for job_id in job_ids]


def take_many(data_dir: Path, seconds: float) -> list[str]:
    celery = celery_of(data_dir)
    ends_at = time.monotonic() + seconds
    taken: list[str] = []
    while time.monotonic() < ends_at:
        taken += take_all(celery)
    return taken


def test_the_filesystem_broker_gives_each_message_whole_and_to_one_process(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        takers = [processes.submit(take_many, tmp_path, 3) for _ in range(2)]
        senders = [processes.submit(send_many, tmp_path, 100) for _ in range(2)]
        sent = [job_id for sender in senders for job_id in sender.result()]
        taken = [job_id for taker in takers for job_id in taker.result()]
    taken += take_all(celery_of(tmp_path))
    assert sorted(taken) == sorted(sent)


def files_about_workers(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "broker").rglob("*") if path.is_file() and ".pidbox." in path.name]


def test_workers_that_are_gone_are_forgotten_and_jobs_are_not(tmp_path: Path) -> None:
    celery, job_id = celery_of(tmp_path), uuid4()
    with celery.connection_for_write() as connection, connection.channel() as channel:
        celery.control.mailbox.Node("gone@here", channel=channel).listen()
    CeleryQueue(celery).send(job_id)
    celery.control.broadcast("heartbeat")
    assert len(files_about_workers(tmp_path)) == 2  # where it was to be found, and what it will never read
    purge_stale_worker_queues(tmp_path / "broker")
    celery.control.broadcast("heartbeat")
    assert files_about_workers(tmp_path) == []
    assert take_all(celery) == [str(job_id)]


def test_a_failed_send_over_the_filesystem_is_an_error(tmp_path: Path) -> None:
    celery = celery_of(tmp_path)
    (tmp_path / "broker" / "messages").rmdir()
    with pytest.raises(ServiceUnavailable):
        CeleryQueue(celery).send(uuid4())
