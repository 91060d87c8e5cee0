"""`kill -9` of `isthmus up` itself: the seconds until all its processes have ended, and until the next start is ready."""

from time import perf_counter

from benchmarks.resilience.kills import all_ended
from benchmarks.resilience.service import Setting, Target
from tests.support.embedded_service import up
from tests.support.running_processes import QUICK_SETTINGS

SETTING = Setting(observed=False)


def run(target: Target) -> str:
    with up(target.folder, 1, **QUICK_SETTINGS) as embedded:
        processes = embedded.descendants()
        embedded.process.kill()
        embedded.process.wait()
        ended = all_ended(processes)
    start = perf_counter()
    with up(target.folder, 1, **QUICK_SETTINGS) as embedded:
        embedded.client.http.get("/health/ready").raise_for_status()
        return f"{ended}; next start ready after {perf_counter() - start:.1f} s"
