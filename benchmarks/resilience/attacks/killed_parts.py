"""`kill -9` of the server, the scheduler and the worker of one service each: the whole service ends."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.resilience.kills import all_ended
from benchmarks.resilience.service import Setting, Target
from tests.support.embedded_service import up
from tests.support.running_processes import QUICK_SETTINGS, named

SETTING = Setting(observed=False)
PARTS = {"api": "api", "beat": "beat", "worker": "prefork"}
"""Name of the part and the argument of its command line."""


def run(target: Target) -> str:
    with ThreadPoolExecutor(len(PARTS)) as threads:
        return "; ".join(threads.map(lambda part: _kill(part, target.folder), PARTS))


def _kill(part: str, folder: Path) -> str:
    (own := folder / part).mkdir()
    with up(own, 1, **QUICK_SETTINGS) as embedded:
        processes = embedded.descendants()
        named(embedded, PARTS[part]).kill()
        ended = all_ended(processes)
        return f"{part}: {ended}, exit code {embedded.process.wait(timeout=60)}"
