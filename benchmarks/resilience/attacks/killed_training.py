"""`kill -9` of a trainer and of a worker's pool process: the seconds until the job trains again."""

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

import psutil

from benchmarks.resilience.service import Setting, Target
from tests.support.embedded_service import Embedded, up
from tests.support.polling import wait_until
from tests.support.running_processes import QUICK_SETTINGS, pool, start_job, trainer, worker

SETTING = Setting(observed=False)
KILLED: dict[str, Callable[[Embedded], psutil.Process]] = {"trainer": trainer, "pool process": pool}
LIMIT_SECONDS = 60


def run(target: Target) -> str:
    with up(target.folder, 1, **QUICK_SETTINGS) as embedded:
        start_job(embedded, target.folder)
        return "; ".join(_kill(embedded, name) for name in KILLED)


def _kill(embedded: Embedded, name: str) -> str:
    old = trainer(embedded)
    KILLED[name](embedded).kill()
    start = perf_counter()
    wait_until(lambda: _trains_again(embedded, old), LIMIT_SECONDS, "the job to train again")
    embedded.client.http.get("/health/live").raise_for_status()
    return f"{name}: the job trains again after {perf_counter() - start:.1f} s"


def _trains_again(embedded: Embedded, old: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # one of them ended meanwhile
        return any(process != old for child in worker(embedded).children() for process in child.children())
    return False
