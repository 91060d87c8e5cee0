"""20 keys that two servers of one database accept, until both refuse each of them after its revocation."""

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep

import httpx

from benchmarks.resilience.service import MODEL, Setting, Target

SETTING = Setting(protected_servers=2)
KEYS = 20
LIMIT_SECONDS = 10
PREDICTION = {"model": MODEL, "inputs": [{"age": 30, "sex": "f"}]}


def run(target: Target) -> str:
    servers = [f"http://127.0.0.1:{port}" for port in target.protected]
    with httpx.Client(base_url=target.url, timeout=60) as owner, ThreadPoolExecutor(len(servers)) as threads:
        seconds = [_revoke(owner, servers, threads) for _ in range(KEYS)]
    slowest = ", ".join(f"{max(times):.2f} s" for times in zip(*seconds, strict=True))
    return f"{KEYS} revoked keys refused by {len(servers)} servers after at most {slowest}"


def _revoke(owner: httpx.Client, servers: list[str], threads: ThreadPoolExecutor) -> list[float]:
    """Make a key, use it on all servers and revoke it; return the seconds until each server refuses it."""
    created = owner.post("/keys", json={"name": "revoked", "scopes": ["predict"]}).raise_for_status().json()
    for server in servers:
        for _ in range(3):  # so that the fast path knows the head of the request
            assert _predict(server, created["key"]) == 200
    owner.delete(f"/keys/{created['id']}").raise_for_status()
    start = perf_counter()
    return list(threads.map(lambda server: _seconds_until_refused(server, created["key"], start), servers))


def _predict(server: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{server}/predict", json=PREDICTION, headers=headers, timeout=60).status_code


def _seconds_until_refused(server: str, key: str, start: float) -> float:
    while perf_counter() - start < LIMIT_SECONDS:
        if _predict(server, key) == 401:
            return perf_counter() - start
        sleep(0.01)
    return float("inf")
