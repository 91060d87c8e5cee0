"""40 predictions at once whose 36 KB of gzip become 32 MB of JSON: very many empty arrays, or very many numbers."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import MODEL, Target

CLIENTS, BYTES = 40, 32 * 1024**2 - 100


def run(target: Target) -> str:
    bombs = [gzip.compress(_body(unit)) for unit in (b"[],", b"1.5,")]
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    def predict(number: int) -> int:
        content = bombs[number % len(bombs)]
        return httpx.post(f"{target.url}/predict", content=content, headers=headers, timeout=120).status_code

    with ThreadPoolExecutor(CLIENTS) as threads:
        return counted(threads.map(predict, range(CLIENTS)))


def _body(unit: bytes) -> bytes:
    start = f'{{"model":"{MODEL}","inputs":['.encode()
    return start + unit * ((BYTES - len(start)) // len(unit)) + b"0]}"
