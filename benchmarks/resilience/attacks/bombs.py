"""40 uploads at once that are small and expensive to read: images, a plain bitmap, JSON objects with very many keys."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target
from tests.support import bombs


def run(target: Target) -> str:
    uploads = [
        *((f"images-{salt}.zip", bombs.images(3, 5000, salt)) for salt in range(20)),
        *((f"bitmap-{salt}.zip", bombs.plain_bitmap(3000)) for salt in range(10)),
        *((f"wide-{salt}.jsonl", bombs.wide_objects(100_000, 1)) for salt in range(10)),
    ]

    def upload(item: tuple[str, bytes]) -> int:
        name, content = item
        return httpx.post(f"{target.url}/datasets", data={"name": name}, files={"file": (name, content)}, timeout=300).status_code

    with ThreadPoolExecutor(len(uploads)) as threads:
        return counted(threads.map(upload, uploads))
