"""A disk without a free byte: uploads, jobs and changes for 10 s, then the seconds until writes work again with room."""

from functools import partial
from itertools import cycle
from time import perf_counter, sleep

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import MODEL, Setting, Target
from tests.support.small_disk import fill, make_room

SETTING = Setting(disk_megabytes=64)
SECONDS = 10
LIMIT_SECONDS = 10
TABLE = b"age,label\n30,no\n40,yes\n50,no\n60,yes\n"


def run(target: Target) -> str:
    with httpx.Client(base_url=target.url, timeout=60) as client:
        dataset = _upload(client, b"").json()["id"]
        writes = (partial(_upload, client, b"70,no\n"), partial(_move_alias, client), partial(_submit, client, dataset))
        fill(target.folder)
        statuses, end = [], perf_counter() + SECONDS
        for write in cycle(writes):
            if perf_counter() > end:
                break
            statuses.append(write().status_code)
            sleep(0.02)
        make_room(target.folder)
        return f"{counted(statuses)}; writes work {_seconds_until_writable(client):.1f} s after there is room"


def _upload(client: httpx.Client, row: bytes) -> httpx.Response:
    return client.post("/datasets", data={"name": "table"}, files={"file": ("table.csv", TABLE + row)})


def _move_alias(client: httpx.Client) -> httpx.Response:
    return client.put(f"/models/{MODEL}/aliases/candidate", json={"version": 1})


def _submit(client: httpx.Client, dataset: str) -> httpx.Response:
    return client.post("/jobs", json={"model": "new", "source": dataset, "params": {"algorithm": "fine_tune"}})


def _seconds_until_writable(client: httpx.Client) -> float:
    start = perf_counter()
    while perf_counter() - start < LIMIT_SECONDS:
        if _move_alias(client).is_success and _upload(client, b"70,no\n").is_success:
            return perf_counter() - start
    return float("inf")
