"""100,000 jobs and versions: four clients send the requests whose cost once grew with the tables, for 15 s."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Setting, Target

JOBS = 100_000
SETTING = Setting(jobs=JOBS)
CLIENTS, SECONDS = 4, 15
REQUESTS = (
    ("GET", "/jobs"),
    ("GET", "/jobs?model=m5"),
    ("GET", "/jobs?status=failed"),
    ("GET", "/metrics"),
    ("POST", "/v2/repository/index"),
)


def run(target: Target) -> str:
    end = perf_counter() + SECONDS
    with ThreadPoolExecutor(CLIENTS) as threads:
        found = list(threads.map(lambda _: _ask(target, end), range(CLIENTS)))
    longest = {path: max(max(milliseconds[path]) for _, milliseconds in found) for _, path in REQUESTS}
    maxima = ", ".join(f"{path} {value:.0f} ms" for path, value in longest.items())
    return f"{counted(status for statuses, _ in found for status in statuses)}; at most {maxima}"


def _ask(target: Target, end: float) -> tuple[list[int], dict[str, list[float]]]:
    """Send all requests in turn until the end; return their statuses and durations."""
    statuses: list[int] = []
    milliseconds: dict[str, list[float]] = defaultdict(list)
    with httpx.Client(base_url=target.url, timeout=60) as client:
        while perf_counter() < end:
            for method, path in REQUESTS:
                start = perf_counter()
                statuses.append(client.request(method, path).status_code)
                milliseconds[path].append(1000 * (perf_counter() - start))
    return statuses, milliseconds
