"""The job queue on both brokers: available, unreachable, restarted or unresponsive."""

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


def make_test_celery(data_dir: Path, broker_url: str = "") -> Celery:
    return make_celery(Settings(data_dir=data_dir, broker_url=broker_url, _env_file=None))


@pytest.fixture(params=["redis", "filesystem"])
def celery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Celery]:
    if request.param == "filesystem":
        yield make_test_celery(tmp_path)
        return
    server: servers.RedisServer = request.getfixturevalue("redis_server")
    app = make_test_celery(tmp_path, server.url)
    receive_all(app)
    yield app
    app.close()


def receive_all(celery: Celery) -> list[str]:
    """Receive all messages of the queue and return their job ids."""
    received: list[str] = []
    with celery.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                return received
            message.ack()
            received.append(message.decode()[0][0])


def test_sent_messages_wait_in_order_and_are_counted(celery: Celery) -> None:
    queue = CeleryQueue(celery)
    job_ids = [uuid4() for _ in range(5)]
    for job_id in job_ids:
        queue.send(job_id)
    assert queue.depth() == 5
    assert receive_all(celery) == [str(job_id) for job_id in job_ids]
    assert queue.depth() == 0
    queue.check()


def test_depth_and_check_leave_no_connection_open(celery: Celery) -> None:
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
    """Yield the URL of a port that accepts connections but never responds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture(params=["absent", "silent"])
def unreachable(request: pytest.FixtureRequest, tmp_path: Path, silent_url: str) -> CeleryQueue:
    url = silent_url if request.param == "silent" else f"redis://127.0.0.1:{servers.free_port()}/0"
    return CeleryQueue(make_test_celery(tmp_path, url))


@pytest.mark.parametrize("call", [lambda queue: queue.send(UUID(int=1)), CeleryQueue.depth, CeleryQueue.check])
def test_unresponsive_broker_raises_within_seconds(unreachable: CeleryQueue, call: Callable[[CeleryQueue], object]) -> None:
    started_at = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        call(unreachable)
    assert time.monotonic() - started_at < 6


def test_sending_continues_after_a_redis_restart_without_losses(redis_server: servers.RedisServer, tmp_path: Path) -> None:
    celery = make_test_celery(tmp_path, redis_server.url)
    receive_all(celery)
    queue = CeleryQueue(celery)
    before, after = uuid4(), uuid4()
    queue.send(before)
    redis_server.stop()
    with pytest.raises(ServiceUnavailable):
        queue.send(uuid4())
    redis_server.start()
    queue.send(after)
    assert receive_all(celery) == [str(before), str(after)]
    celery.close()


def send_many(data_dir: Path, count: int) -> list[str]:
    queue = CeleryQueue(make_test_celery(data_dir))
    job_ids = [uuid4() for _ in range(count)]
    for job_id in job_ids:
        queue.send(job_id)
    return [str(job_id) for job_id in job_ids]


def receive_for(data_dir: Path, seconds: float) -> list[str]:
    celery = make_test_celery(data_dir)
    ends_at = time.monotonic() + seconds
    received: list[str] = []
    while time.monotonic() < ends_at:
        received += receive_all(celery)
    return received


def test_filesystem_broker_delivers_each_message_once_between_processes(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        receivers = [processes.submit(receive_for, tmp_path, 3) for _ in range(2)]
        senders = [processes.submit(send_many, tmp_path, 100) for _ in range(2)]
        sent = [job_id for sender in senders for job_id in sender.result()]
        received = [job_id for receiver in receivers for job_id in receiver.result()]
    received += receive_all(make_test_celery(tmp_path))
    assert sorted(received) == sorted(sent)


def worker_queue_files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "broker").rglob("*") if path.is_file() and ".pidbox." in path.name]


def test_purge_removes_stale_worker_queues_but_no_jobs(tmp_path: Path) -> None:
    celery, job_id = make_test_celery(tmp_path), uuid4()
    with celery.connection_for_write() as connection, connection.channel() as channel:
        celery.control.mailbox.Node("gone@here", channel=channel).listen()
    CeleryQueue(celery).send(job_id)
    celery.control.broadcast("heartbeat")
    assert len(worker_queue_files(tmp_path)) == 2  # its binding, and the broadcast that it will never read
    purge_stale_worker_queues(tmp_path / "broker")
    celery.control.broadcast("heartbeat")
    assert worker_queue_files(tmp_path) == []
    assert receive_all(celery) == [str(job_id)]


def test_failed_send_over_the_filesystem_raises(tmp_path: Path) -> None:
    celery = make_test_celery(tmp_path)
    (tmp_path / "broker" / "messages").rmdir()
    with pytest.raises(ServiceUnavailable):
        CeleryQueue(celery).send(uuid4())
