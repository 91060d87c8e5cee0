"""Batch predictions against two plain programs over ONNX Runtime.

    python -m benchmarks.serving.batch_prediction [mlp|lenet ...] [--rows N]

The loop has all rows encoded in memory before its clock starts, and does nothing but run the graph, in batches of the same
size. The script does what somebody would write who needs the answers once: it reads the whole file into memory, runs the graph
in such batches, and writes labels and confidences to one file. The batch prediction reads the stored dataset, encodes it, runs
the graph, ranks the classes, stores parts and checkpoints and joins the output: `worker.jobs.batch_prediction.run` from its
first line to its
last. Rounds of the three alternate; each has one ONNX Runtime thread. The batch prediction reads ahead in a thread of its own, so
it takes a second core where there is one. Its answers are checked against the loop's. Then the same prediction runs as a worker
runs it, in a process of its own, for its memory.
"""

import argparse
import io
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import CeleryQueue, make_celery
from app.db.session import SessionFactory, make_engine
from app.db.tables import DatasetRow, JobRow
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION, BatchPredictionResult
from app.modalities import MODALITIES
from app.modalities.base import Encoded
from app.schemas.batch_predictions import BatchPredictionOptions, Format
from app.services import models
from app.serving.probabilities import softmax
from app.settings import Settings
from app.storage import Storage
from benchmarks.serving.store import fill
from benchmarks.serving.subjects import FEATURES, SIDE, SUBJECTS
from tests.support.factories import make_dataset, make_job
from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import OnnxModel
from worker.data.attempt_context import AttemptContext
from worker.data.job_inputs import StoredDataset
from worker.jobs import batch_prediction
from worker.protocol.progress import ProgressReporter
from worker.supervision.supervisor import Supervisor

MEGABYTE = 1024**2
READERS: dict[Format, Callable[[Path], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "csv": pl.read_csv,
    "jsonl": pl.read_ndjson,
}
WRITERS: dict[Format, Callable[[pl.DataFrame, Path], object]] = {
    "parquet": pl.DataFrame.write_parquet,
    "csv": pl.DataFrame.write_csv,
    "jsonl": pl.DataFrame.write_ndjson,
}
WRITTEN_AT_ONCE = 50_000


def table(rows: int, folder: Path) -> Path:
    """Write Parquet with row groups of the usual size."""
    random = np.random.default_rng(0)
    names = [f"x{column}" for column in range(FEATURES)]
    parts = []
    for start in range(0, rows, WRITTEN_AT_ONCE):
        parts.append(folder / f"{start}.parquet")
        numbers = random.normal(size=(min(WRITTEN_AT_ONCE, rows - start), FEATURES)).astype(np.float32)
        pl.DataFrame(numbers, names).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def images(rows: int, folder: Path) -> Path:
    """Write an npz of noise images."""
    with (folder / "images.npz").open("wb") as file:
        np.savez(file, x=np.random.default_rng(0).integers(0, 256, (rows, SIDE, SIDE), np.uint8))
    return folder / "images.npz"


@dataclass(frozen=True, slots=True)
class Load:
    """A dataset: number of rows, and the functions that write it and read it at once."""

    modality: str
    rows: int
    write: Callable[[int, Path], Path]
    read: Callable[[Path], Encoded]


def read_table(path: Path) -> Encoded:
    """Read the table as a script does."""
    return {"numbers": pl.read_parquet(path).to_numpy(order="c")}


def read_images(path: Path) -> Encoded:
    """Read the images as a script does."""
    return {"pixels": np.load(path)["x"][..., None]}


LOADS = {
    "mlp": Load("tabular", 1_000_000, table, read_table),
    "lenet": Load("image", 100_000, images, read_images),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A queued batch prediction and the resources of its process."""

    settings: Settings
    storage: Storage
    sessions: sessionmaker[Session]
    job_id: UUID
    folder: Path

    def job(self) -> JobRow:
        with self.sessions() as session:
            return session.get_one(JobRow, self.job_id)

    def predict(self, attempt: int) -> BatchPredictionResult:
        """Run the batch prediction as the worker's process does."""
        run_folder = self.folder / f"run-{attempt}"
        run_folder.mkdir()
        job, reporter = self.job(), ProgressReporter(io.StringIO())
        job.attempt = attempt
        context = AttemptContext(job, self.settings, self.storage, self.sessions, run_folder, reporter)
        return batch_prediction.run(context)

    def loaded(self) -> tuple[DatasetRow, OnnxModel]:
        """Open the dataset and the version for the reference programs."""
        with self.sessions() as session:
            data, version = batch_prediction.load_rows(session, self.job())
        folder = self.folder / "loaded"
        folder.mkdir(exist_ok=True)
        return data, onnx_model.load(version, "float32", self.settings, self.storage, folder)

    def loop(self) -> Callable[[], NDArray[np.float32]]:
        """Return the loop over encoded rows."""
        data, model = self.loaded()
        parts = [
            part
            for _, part in batch_prediction.encoded_rows(model, StoredDataset(data, self.storage))
            if not isinstance(part, str)
        ]
        encoded = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return lambda: model.logits(encoded)

    def script(self, read: Callable[[Path], Encoded]) -> Callable[[], None]:
        """Return the script that reads the whole file and writes one file."""
        data, model = self.loaded()
        output, format = self.folder / "script", self.job().params["output"]

        def run() -> None:
            with self.storage.local(data.storage_key) as path:
                probabilities = softmax(model.logits(read(path)))
            labels = np.array(model.classes)[probabilities.argmax(axis=1)]
            frame = pl.DataFrame({"label": labels, "confidence": probabilities.max(axis=1)})
            WRITERS[format](frame, output)

        return run


def bench(name: str, rows: int, format: Format, folder: Path) -> Bench:
    """Make a data directory with the version, the dataset and the queued prediction."""
    fill(folder / "data", [(name, SUBJECTS[name](folder / "subject"))])
    settings = Settings(_env_file=None, data_dir=folder / "data", train_threads=1, device="cpu")
    storage, sessions = Storage(settings.storage), SessionFactory(make_engine(settings.database))
    path = LOADS[name].write(rows, folder)
    modality = MODALITIES[LOADS[name].modality]
    profile = modality.check(path, path.suffix[1:], modality.options())
    key = f"datasets/{name}/data{path.suffix}"
    storage.put(key, path)
    details = {"format": profile.format, "rows": profile.rows, "classes": profile.classes, "profile": profile.details}
    with sessions.begin() as session:
        data = make_dataset(session, modality=modality.name, storage_key=key, labelled=False, **details)
        params = BatchPredictionOptions(output=format).model_dump() | {"total": rows}
        version = models.resolve(session, name)
        base = {"model": f"{name}:1"}
        job = make_job(
            session,
            kind=BATCH_PREDICTION.name,
            model_name=name,
            source_id=data.id,
            base_version_id=version.id,
            base=base,
            params=params,
        )
        job_id = job.id
    return Bench(settings, storage, sessions, job_id, folder)


@dataclass(frozen=True, slots=True)
class Took:
    """Wall time and processor time in seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def speeds(bench: Bench, load: Load, rows: int, rounds: int) -> str:
    """Measure loop, script and batch prediction alternately."""
    loop, script = bench.loop(), bench.script(load.read)
    loops, scripts, predictions = [], [], []
    for attempt in range(1, rounds + 1):
        loops.append(timed(loop))
        scripts.append(timed(script))
        predictions.append(timed(lambda: bench.predict(attempt)))  # noqa: B023  # called immediately
    check(bench, loop())
    lines = [_format_speed(name, took, rows) for name, took in (("loop", loops), ("script", scripts), ("batch", predictions))]
    return "\n".join([*lines, _ratios("loop", loops, predictions), _ratios("script", scripts, predictions)])


def _format_speed(name: str, took: Sequence[Took], rows: int) -> str:
    wall, cpu = min(one.wall for one in took), min(one.cpu for one in took)
    return f"  {name}: {rows / wall:,.0f} rows/s, {cpu / rows * 1e6:.2f} us of processor time a row (best of the rounds)"


def _ratios(name: str, others: Sequence[Took], predictions: Sequence[Took]) -> str:
    best = min(one.wall for one in others) / min(one.wall for one in predictions)
    each = sorted(other.wall / prediction.wall for other, prediction in zip(others, predictions, strict=True))
    median = f"{each[len(each) // 2]:.2f} in the median round ({each[0]:.2f} to {each[-1]:.2f})"
    return f"  batch / {name}: {best:.2f} of the best, {median}"


def check(bench: Bench, logits: NDArray[np.float32]) -> None:
    """Check that the output has every row in order with the loop's predictions."""
    format = bench.job().params["output"]
    with bench.storage.local(f"jobs/{bench.job_id}/1/output.{format}") as path:
        frame = READERS[format](path)
    probabilities = softmax(logits)
    assert frame["row"].equals(pl.int_range(1, len(logits) + 1, eager=True).alias("row"))
    assert np.abs(frame["confidence"].to_numpy() - probabilities.max(axis=1)).max() < 1e-4


def _resident(child: psutil.Process) -> int:
    """Return the resident bytes; 0 for a child that has not yet started the trainer."""
    return int(child.memory_info().rss) if {"worker.trainer", "worker.template"} & set(child.cmdline()) else 0


def process(bench: Bench, rows: int) -> str:
    """Measure the whole process, run by the supervisor, from start to end."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            with suppress(psutil.NoSuchProcess):
                peak = max([peak, *map(_resident, psutil.Process().children())])

    watcher = threading.Thread(target=watch)
    watcher.start()
    supervisor = Supervisor(bench.settings, bench.sessions, CeleryQueue(make_celery(bench.settings)))
    took = timed(lambda: supervisor.run_job(bench.job_id)).wall
    done.set()
    watcher.join()
    assert bench.job().status is JobStatus.SUCCEEDED, bench.job().error_message
    return f"  as a process: {rows / took:,.0f} rows/s ({took:.1f} s with its start), at most {peak / MEGABYTE:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.batch_prediction")
    parser.add_argument("subjects", nargs="*", choices=[[], *LOADS], metavar="SUBJECT")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--format", choices=("parquet", "csv", "jsonl"), default="parquet")
    options = parser.parse_args()
    for name in options.subjects or LOADS:
        rows = options.rows or LOADS[name].rows
        with tempfile.TemporaryDirectory() as folder:
            made = bench(name, rows, options.format, Path(folder))
            sys.stdout.write(f"{name}, {rows:,} rows to {options.format}\n{speeds(made, LOADS[name], rows, options.rounds)}\n")
            sys.stdout.write(f"{process(made, rows)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
