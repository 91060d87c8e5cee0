"""Checks of uploads in child processes: limits, damaged files, secrets, the queue, and clients that leave."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import polars as pl
import psutil
import pytest

from app.errors import InvalidDataset, UploadsBusy
from app.schemas.datasets import DatasetCreate
from app.services.upload_checks.checker import CheckLimits, UploadChecker
from app.services.upload_checks.child_process import ChildEndedError, ChildProcess, IdleChildren
from app.services.upload_checks.pool import CheckPool
from tests.support.factories import npz_bytes, write
from tests.support.polling import wait_until

ABORTING = Path(__file__).parent / "aborting.parquet"
"""A valid file with one changed byte: Polars 2.1 requests 2 EB of memory and aborts."""

FORM = DatasetCreate(name="a", modality="tabular")
IMAGES = DatasetCreate(name="a", modality="image")
MEMORY = CheckLimits().memory_bytes


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    child = ChildProcess(MEMORY)
    yield child
    child.close()


def labelled_images(folder: Path, count: int) -> Path:
    numbers = np.random.default_rng(0)
    x, y = numbers.integers(0, 256, (count, 28, 28), dtype=np.uint8), numbers.integers(0, 9, count)
    return write(folder, "a.npz", npz_bytes(x=x, y=y))


def test_file_is_described_by_a_child(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": [1, 2, 3], "label": ["a", "b", "a"]}).write_parquet(path)
    with UploadChecker() as checker:
        detected = checker.detect(path, path.name, FORM)
        profile = checker.check(path, detected)
    assert (detected.modality.name, detected.format, profile.rows, profile.classes) == ("tabular", "parquet", 3, {"a": 2, "b": 1})


def test_file_that_aborts_its_reader_is_rejected() -> None:
    with UploadChecker() as checker, pytest.raises(InvalidDataset, match="it is damaged"):
        checker.check(ABORTING, checker.detect(ABORTING, ABORTING.name, FORM))


def test_check_after_an_aborted_child_runs_in_another_one(tmp_path: Path) -> None:
    path = labelled_images(tmp_path, 10)
    with UploadChecker() as checker:
        detected = checker.detect(path, path.name, IMAGES)
        with pytest.raises(InvalidDataset):
            checker.check(ABORTING, checker.detect(ABORTING, ABORTING.name, FORM))
        assert checker.check(path, detected).rows == 10


def test_check_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = labelled_images(tmp_path, 10)
    with UploadChecker(CheckLimits(seconds=0)) as checker, pytest.raises(InvalidDataset, match="more than 0 seconds"):
        checker.detect(path, path.name, IMAGES)


def test_check_that_needs_too_much_memory_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": ["a" * 500_000_000, "b"], "label": ["a", "b"]}).write_parquet(path)
    limits = CheckLimits(seconds=120, memory_bytes=640 * 1024**2)
    with UploadChecker(limits) as checker, pytest.raises(InvalidDataset, match="640 MB"):
        checker.check(path, checker.detect(path, path.name, FORM))


def test_child_inherits_no_variable_with_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", "postgresql://isthmus:secret@db/isthmus")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    child = ChildProcess(MEMORY)
    try:
        assert "secret" not in Path(f"/proc/{child.pid}/environ").read_text()
    finally:
        child.close()


def test_defect_of_a_check_is_reported_as_failure(child: ChildProcess) -> None:
    reply = child.ask({"action": "detect", "unknown": 1}, deadline=time.monotonic() + 60)
    assert "unexpected keyword argument" in reply["failure"]


def test_child_is_the_first_that_the_kernel_ends(child: ChildProcess) -> None:
    child.ask({"action": "detect", "unknown": 1}, deadline=time.monotonic() + 60)
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == "800"


def test_idle_child_is_used_again_and_a_dead_one_replaced() -> None:
    idle = IdleChildren()
    first = idle.take(MEMORY)
    idle.give_back(first, MEMORY)
    assert idle.take(MEMORY) is first
    idle.give_back(first, MEMORY)
    psutil.Process(first.pid).kill()
    wait_until(lambda: not first.is_running())
    second = idle.take(MEMORY)
    assert second is not first
    second.close()


def test_check_beyond_the_queue_is_refused() -> None:
    async def fill() -> None:
        pool, release = CheckPool(CheckLimits(), at_once=1, max_waiting=1), Event()
        checks = [asyncio.ensure_future(pool.run(lambda _: release.wait(60))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(UploadsBusy) as caught:
            await pool.run(lambda _: None)
        assert caught.value.headers["Retry-After"]
        release.set()
        assert await asyncio.gather(*checks) == [True, True]
        assert await pool.run(lambda _: "free again") == "free again"
        pool.close()

    asyncio.run(fill())


def test_cancelled_check_ends_its_child(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,label\n1,a\n2,b\n")

    async def cancel() -> None:
        pool, started, error = CheckPool(CheckLimits(), at_once=1, max_waiting=0), Event(), list[Exception]()

        def check(checker: UploadChecker) -> None:
            started.set()
            try:
                while True:
                    checker.detect(path, path.name, FORM)
            except ChildEndedError as ended:
                error.append(ended)

        task = asyncio.ensure_future(pool.run(check))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: bool(error))
        pool.close()

    asyncio.run(cancel())
