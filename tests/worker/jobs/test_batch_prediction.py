"""Attempts of a batch prediction in this process: output, resumption and failures."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import ArtifactRow, JobRow
from app.errors import ArtifactCorrupt, InvalidInputs
from app.job_types.batch_prediction import BatchPredictionResult
from app.settings import Settings
from app.storage import Storage
from tests.support.batch_outputs import READERS, assert_answers, plain_probabilities, queue_prediction
from tests.support.factories import csv_bytes, jsonl_bytes, make_image, npz_bytes, write
from tests.support.published_models import Exported, add_int8, export_network
from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import OnnxModel
from worker.data.attempt_context import AttemptContext
from worker.jobs import batch_prediction
from worker.protocol.progress import BadData, BadParameters, ProgressReporter, StopRequested

Sessions = sessionmaker[Session]
CLASSES = ["1", "2", "3"]
ROWS = 50


def patients(folder: Path) -> Path:
    rows = [["" if number % 7 == 0 else number, ["f", "m", "unknown"][number % 3]] for number in range(ROWS)]
    return write(folder, "patients.csv", csv_bytes(["age", "sex"], rows))


def images(folder: Path) -> Path:
    pixels = np.stack([make_image(9, 11, seed=seed) for seed in range(ROWS)])
    return write(folder, "images.npz", npz_bytes(x=pixels, y=np.arange(ROWS) % 2))


def reviews(folder: Path) -> Path:
    return write(
        folder,
        "reviews.jsonl",
        jsonl_bytes({"text": f"a fine book, {number} pages" * (number % 5 + 1)} for number in range(ROWS)),
    )


FILES = {"tabular": patients, "image": images, "text": reviews}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    return {modality: export_network(modality, CLASSES, tmp_path_factory.mktemp(modality)) for modality in FILES}


@pytest.fixture
def settings(worker_settings: Settings) -> Settings:
    return worker_settings.model_copy(update={"train_threads": 1, "device": "cpu"})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split datasets of a few rows into several chunks, batches and parts."""
    monkeypatch.setattr(onnx_model, "CHUNK_ROWS", range(8, 8))
    monkeypatch.setattr(onnx_model, "BATCH_ROWS", range(3, 3))


class Bench:
    """A service with one prediction that waits."""

    def __init__(self, settings: Settings, sessions: Sessions, folder: Path) -> None:
        self.settings, self.sessions, self.folder = settings, sessions, folder
        self.storage = Storage(settings.storage)
        self.output = io.StringIO()
        self.attempts = 0

    def queue(self, exported: Exported, path: Path, **fields: Any) -> UUID:
        self.job_id = queue_prediction(self.sessions, self.storage, exported, path, **fields)
        return self.job_id

    def run(self, stop: bool = False, **changes: Any) -> BatchPredictionResult:
        """Run the next attempt; with `stop` a stop is requested at the start."""
        self.attempts += 1
        folder = self.folder / f"attempt-{self.attempts}"
        folder.mkdir()
        with self.sessions() as session:
            job = session.get_one(JobRow, self.job_id)
        job.attempt, job.checkpoint = self.attempts, self.checkpoint()
        reporter = ProgressReporter(self.output)
        if stop:
            reporter.request_stop()
        settings = self.settings.model_copy(update=changes)
        output = batch_prediction.run(AttemptContext(job, settings, self.storage, self.sessions, folder, reporter))
        reporter.flush()
        return output

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def checkpoint(self) -> str | None:
        return next((report["checkpoint"] for report in reversed(self.reports()) if report["checkpoint"]), None)

    def read(self, output: BatchPredictionResult) -> pl.DataFrame:
        with self.storage.local(output.file.key) as path:
            return READERS[path.suffix[1:]](path)


@pytest.fixture
def bench(settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> Bench:
    return Bench(settings, worker_sessions, tmp_path)


@pytest.mark.parametrize("modality", FILES)
def test_predictions_of_every_modality_equal_those_of_onnx_runtime(
    bench: Bench, exports: dict[str, Exported], modality: str, tmp_path: Path
) -> None:
    path = FILES[modality](tmp_path)
    bench.queue(exports[modality], path)
    output = bench.run()
    assert_answers(bench.read(output), plain_probabilities(exports[modality], path), CLASSES)
    assert (output.rows, output.metrics["completed"], output.metrics["failed"]) == (ROWS, ROWS, 0)
    assert output.metrics["rows_per_second"] > 0


def test_rows_are_abstained_below_the_threshold_of_the_version(
    bench: Bench, exports: dict[str, Exported], tmp_path: Path
) -> None:
    path = patients(tmp_path)
    confidence = plain_probabilities(exports["tabular"], path).max(axis=1)
    threshold = float(np.median(confidence))
    manifest = exports["tabular"].manifest.model_copy(update={"abstention_threshold": threshold})
    bench.queue(replace(exports["tabular"], manifest=manifest), path)
    abstained = bench.read(bench.run())["abstained"].to_numpy()
    far = np.abs(confidence - threshold) > 1e-4
    assert (abstained == (confidence < threshold))[far].all()
    assert 0 < abstained.sum() < ROWS


def test_requested_quantized_copy_is_used(bench: Bench, tmp_path: Path) -> None:
    path = patients(tmp_path)
    (tmp_path / "version").mkdir()
    exported = export_network("tabular", CLASSES, tmp_path / "version")
    add_int8(exported)
    bench.queue(exported, path, precision="int8")
    confidence = bench.read(bench.run())["confidence"].to_numpy()
    compact = plain_probabilities(exported, path, "model.int8.onnx").max(axis=1)
    assert np.abs(confidence - compact).max() < 1e-5
    assert np.abs(confidence - plain_probabilities(exported, path).max(axis=1)).max() > 1e-4


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize("seconds", [0, 60])
def test_output_rows_do_not_depend_on_format_and_parts(
    bench: Bench, exports: dict[str, Exported], format: str, seconds: float, tmp_path: Path
) -> None:
    path = patients(tmp_path)
    bench.queue(exports["tabular"], path, output=format, top_k=5, probabilities=True)
    frame = bench.read(bench.run(checkpoint_seconds=seconds))
    probabilities = plain_probabilities(exports["tabular"], path)
    assert_answers(frame.cast({"label": pl.String, "error": pl.String}), probabilities, CLASSES)
    ranked = [name for rank in ("", "_2", "_3") for name in (f"label{rank}", f"confidence{rank}")]
    ranked.insert(2, "abstained")
    assert frame.columns == ["row", *ranked, *(f"probability_{name}" for name in CLASSES), "error"]
    assert np.abs(frame.select("^probability_.*$").to_numpy() - probabilities).max() < 1e-4
    assert np.abs(frame["confidence_3"].to_numpy() - probabilities.min(axis=1)).max() < 1e-4


def test_stopped_attempt_resumes_after_its_last_row(bench: Bench, exports: dict[str, Exported], tmp_path: Path) -> None:
    path = patients(tmp_path)
    bench.queue(exports["tabular"], path)
    for _ in range(3):
        with pytest.raises(StopRequested):
            bench.run(stop=True)
    frame = bench.read(bench.run())
    assert_answers(frame, plain_probabilities(exports["tabular"], path), CLASSES)
    parts = json.loads(bench.storage.open(bench.checkpoint() or "").read())["parts"]
    assert [Path(part).parts[2:] for part in parts] == [
        ("1", "part-8.parquet"),
        ("2", "part-16.parquet"),
        ("3", "part-24.parquet"),
        ("4", "part-50.parquet"),
    ]


def test_attempt_after_the_last_row_only_concatenates_parts(bench: Bench, exports: dict[str, Exported], tmp_path: Path) -> None:
    path = patients(tmp_path)
    bench.queue(exports["tabular"], path)
    first = bench.run()
    bench.storage.delete("datasets/patients")
    assert bench.read(bench.run()).equals(bench.read(first))


def test_lost_checkpoint_restarts_the_prediction(bench: Bench, exports: dict[str, Exported], tmp_path: Path) -> None:
    path = patients(tmp_path)
    bench.queue(exports["tabular"], path)
    with pytest.raises(StopRequested):
        bench.run(stop=True)
    bench.storage.delete(bench.checkpoint() or "")
    assert_answers(bench.read(bench.run()), plain_probabilities(exports["tabular"], path), CLASSES)
    assert [warning["code"] for report in bench.reports() for warning in report["warnings"]] == ["checkpoint_missing"]


def test_rows_of_a_release_with_other_columns_are_answered_again(
    bench: Bench, exports: dict[str, Exported], tmp_path: Path
) -> None:
    path = patients(tmp_path)
    bench.queue(exports["tabular"], path)
    with pytest.raises(StopRequested):
        bench.run(stop=True)
    key = bench.checkpoint() or ""
    older = tmp_path / "older.json"
    older.write_text(json.dumps(json.loads(bench.storage.open(key).read()) | {"columns": []}))
    bench.storage.put(key, older)
    assert_answers(bench.read(bench.run()), plain_probabilities(exports["tabular"], path), CLASSES)
    assert [warning["code"] for report in bench.reports() for warning in report["warnings"]] == ["checkpoint_missing"]


def test_checkpoint_of_another_prediction_is_rejected(bench: Bench, exports: dict[str, Exported], tmp_path: Path) -> None:
    bench.queue(exports["tabular"], patients(tmp_path))
    with pytest.raises(StopRequested):
        bench.run(stop=True)
    with bench.sessions.begin() as session:
        job = session.get_one(JobRow, bench.job_id)
        job.params = job.params | {"top_k": 2}
    with pytest.raises(BadParameters, match="another prediction"):
        bench.run()


@pytest.mark.parametrize(("counted", "message"), [(ROWS + 1, "Only 50 of the 51 rows"), (ROWS - 1, "more rows than the 49")])
def test_dataset_with_another_row_count_than_its_upload_fails(
    bench: Bench, exports: dict[str, Exported], tmp_path: Path, counted: int, message: str
) -> None:
    bench.queue(exports["tabular"], patients(tmp_path), rows=counted)
    with pytest.raises(BadData, match=message):
        bench.run()


def test_damaged_graph_fails_the_prediction(bench: Bench, exports: dict[str, Exported], tmp_path: Path) -> None:
    bench.queue(exports["tabular"], patients(tmp_path))
    with bench.sessions.begin() as session:
        job = session.get_one(JobRow, bench.job_id)
        graph = session.get_one(ArtifactRow, (job.base_version_id, "model.onnx"))
        graph.digest = "0" * 64
    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx"):
        bench.run()


def test_reports_count_rows_and_contain_only_stored_checkpoints(
    bench: Bench, exports: dict[str, Exported], tmp_path: Path
) -> None:
    bench.queue(exports["tabular"], patients(tmp_path))
    bench.run(checkpoint_seconds=0)
    reports = bench.reports()
    completed = [point["value"] for report in reports for point in report["metrics"] if point["name"] == "completed"]
    assert completed[0] == 0
    assert completed == sorted(completed)
    assert completed[-1] == ROWS
    progress = [report["progress"] for report in reports]
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(0.95)
    last = [report["checkpoint"] for report in reports if report["checkpoint"]][-3:]
    assert all(bench.storage.exists(key) for key in last)


def test_row_that_cannot_be_encoded_is_separated_with_its_error() -> None:
    def encode(numbers: list[float]) -> dict[str, Any]:
        if any(number < 0 for number in numbers):
            raise InvalidInputs("negative")
        return {"x": np.array(numbers)}

    model = OnnxModel(encode, None, ("a", "b"), 0.0, 10, 10)
    chunks = list(model.encode_rows([1.0, 2.0, -3.0, 4.0, 5.0, -6.0, 7.0], 7))
    assert sum(rows for rows, _ in chunks) == 7
    flat = [value for rows, chunk in chunks for value in ([chunk] if isinstance(chunk, str) else chunk["x"].tolist())]
    assert flat == [1.0, 2.0, "negative", 4.0, 5.0, "negative", 7.0]
