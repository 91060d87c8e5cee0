"""The growth of the server's resident memory by a large upload: `python -m benchmarks.upload_memory [megabytes] [kind ...]`.

A real server (uvicorn, SQLite) in its own process gets a generated file of each kind over HTTP, streamed from disk; its
resident size is read every few milliseconds. A small upload of each kind comes first, so that what is loaded once (the
readers' libraries) does not count.
"""

import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import psutil
from PIL import Image

from tests.support.servers import free_port

MEGABYTE = 1024**2


def table(path: Path, size: int) -> None:
    """Write a CSV of 20 numbers and a label."""
    random = np.random.default_rng(0)
    lines = "".join(
        ",".join(f"{value:.6f}" for value in row) + f",{'yes' if row[0] > 0 else 'no'}\n"
        for row in random.normal(size=(5000, 20))
    )
    with path.open("w") as file:
        file.write(",".join(f"x{column}" for column in range(20)) + ",label\n")
        while file.tell() < size:
            file.write(lines)


def texts(path: Path, size: int) -> None:
    """Write a CSV of quoted texts."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        number = 0
        while file.tell() < size:
            for _ in range(100):
                number += 1
                writer.writerow([f'Statement number {number}: "a text, of some length". ' * 20, "good" if number % 2 else "bad"])


def parquet(path: Path, size: int) -> None:
    """Write the columns of `table` as Parquet with row groups of the usual size."""
    random = np.random.default_rng(0)
    rows = size // (20 * 8)
    frame = pl.DataFrame({f"x{column}": random.normal(size=rows) for column in range(20)})
    frame.with_columns(label=pl.when(pl.col("x0") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))).write_parquet(
        path, row_group_size=100_000
    )


def arrays(path: Path, size: int) -> None:
    """Write an npz of 64 x 64 RGB noise, which does not compress."""
    random = np.random.default_rng(0)
    count = size // (64 * 64 * 3)
    np.savez(path, x=random.integers(0, 256, (count, 64, 64, 3), np.uint8), y=np.arange(count) % 10)


def images(path: Path, size: int) -> None:
    """Write an ImageFolder zip of a few JPEG files under many names."""
    random = np.random.default_rng(0)
    scratch = path.parent / "image.jpg"
    Image.fromarray(random.integers(0, 256, (256, 256, 3), np.uint8)).save(scratch, quality=95)
    content = scratch.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(max(4, size // len(content))):
            archive.writestr(f"{'ab'[number % 2]}/{number}.jpg", content)


KINDS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "csv": ("table.csv", table),
    "text": ("texts.csv", texts),
    "parquet": ("table.parquet", parquet),
    "npz": ("arrays.npz", arrays),
    "zip": ("images.zip", images),
}


@contextmanager
def server(folder: Path, **settings: object) -> Iterator[tuple[str, int]]:
    """Start a migrated, empty server with these settings and yield its URL and process id."""
    port = free_port()
    settings = {"data_dir": folder, "log_level": "warning", **settings}
    environment = os.environ | {f"ISTHMUS_{name.upper()}": str(value) for name, value in settings.items()}
    subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=environment, check=True)
    command = [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/health/live", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


def upload(url: str, path: Path) -> int:
    with path.open("rb") as file:
        answer = httpx.post(f"{url}/datasets", data={"name": path.name}, files={"file": (path.name, file)}, timeout=None)
    return answer.status_code


def peak_growth(pid: int, action: Callable[[], int]) -> tuple[int, float]:
    """Run `action` and return the growth of the peak resident size in bytes, and the seconds taken."""
    process, done = psutil.Process(pid), threading.Event()
    before = process.memory_info().rss
    peak = [before]

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    try:
        status = action()
    finally:
        done.set()
        watcher.join()
    if status != 201:
        raise RuntimeError(f"the upload was answered {status}")
    return peak[0] - before, time.monotonic() - start


def measure(kind: str, size: int) -> tuple[int, int, float]:
    """Return the size of the file, the growth of the server in bytes, and the seconds taken."""
    name, generate = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "data") as (url, pid):
        path = Path(folder) / name
        generate(path, MEGABYTE)
        upload(url, path)
        generate(path, size)
        growth, seconds = peak_growth(pid, lambda: upload(url, path))
        return path.stat().st_size, growth, seconds


def main() -> None:
    size = int(sys.argv[1]) * MEGABYTE if len(sys.argv) > 1 else 1024 * MEGABYTE
    for kind in sys.argv[2:] or KINDS:
        length, growth, seconds = measure(kind, size)
        line = f"{kind:8} {length / MEGABYTE:7.0f} MB uploaded, server grew by {growth / MEGABYTE:5.0f} MB, {seconds:5.1f} s\n"
        sys.stdout.write(line)


if __name__ == "__main__":
    main()
