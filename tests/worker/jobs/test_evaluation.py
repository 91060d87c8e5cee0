"""Evaluations: rows without a label, classes that a version does not know, and the comparison of two versions."""

import pytest

from app.db.tables import DatasetRow, JobRow
from app.labels.row_labels import KEY
from tests.support.factories import csv_bytes
from tests.support.job_bench import Bench, bench
from tests.support.published_models import CLASSES, Exported, export_network, store_version
from worker.jobs import evaluation
from worker.protocol.progress import BadData

__all__ = ["bench"]  # the fixture

ROWS = [(30 + number, "f" if number % 2 else "m", label) for number, label in enumerate([*CLASSES, "eleven", ""] * 8)]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Exported]:
    return [export_network("tabular", CLASSES, tmp_path_factory.mktemp("model"), seed) for seed in range(2)]


@pytest.fixture
def job(bench: Bench, networks: list[Exported]) -> JobRow:
    """Return an evaluation of two versions on rows of which some have no label and some an unknown class."""
    dataset = bench.dataset("tabular", "labelled.csv", csv_bytes(["age", "sex", "label"], ROWS))
    named = []
    with bench.sessions() as session:
        for number, network in enumerate(networks):
            version = store_version(session, bench.storage, network, f"m{number}")
            named.append({"id": str(version.id), "model": f"m{number}", "number": 1})
    return bench.job({"versions": named, "total": len(ROWS)}, dataset, kind="evaluation", base={"model": "m0:1"})


def test_figures_use_labelled_rows_and_count_unknown_classes_as_wrong(bench: Bench, job: JobRow) -> None:
    result = evaluation.run(bench.context(job))
    first, second = result.metrics["results"]
    assert (first["rows"], first["failed"]) == (32, 0)
    assert first["labels"] == [*CLASSES, "eleven"]
    assert sum(map(sum, first["confusion"])) == 32
    assert first["classes"]["eleven"]["recall"] == 0
    assert first["accuracy"]["low"] <= first["accuracy"]["value"] <= first["accuracy"]["high"] <= 1
    (comparison,) = result.metrics["comparisons"]
    difference = comparison["only_first_correct"] - comparison["only_second_correct"]
    assert comparison["difference"]["value"] == pytest.approx(difference / 32)
    assert first["accuracy"]["value"] - second["accuracy"]["value"] == pytest.approx(difference / 32)
    assert 0 < comparison["p_value"] <= 1
    assert len(result.versions) == 2


def test_dataset_of_labels_is_measured_on_its_rows_only(bench: Bench, job: JobRow) -> None:
    labels = {"rows": [1, 5, 8], "labels": ["eight", "nine", "ten"], "use": "measuring", "file_labelled": True}
    with bench.sessions.begin() as session:
        dataset = session.get_one(DatasetRow, job.source_id)
        dataset.profile = dataset.profile | {KEY: labels}
        dataset.rows = 3
    result = evaluation.run(bench.context(job))
    assert result.metrics["results"][0]["rows"] == 3
    assert result.metrics["results"][0]["labels"] == CLASSES


def test_deleted_version_fails_the_evaluation(bench: Bench) -> None:
    dataset = bench.dataset("tabular", "labelled.csv", csv_bytes(["age", "sex", "label"], ROWS))
    deleted = {"versions": [{"id": "0" * 32, "model": "m", "number": 7}], "total": 1}
    job = bench.job(deleted, dataset, kind="evaluation", base={"model": "m:7"})
    with pytest.raises(BadData, match="was deleted"):
        evaluation.run(bench.context(job))
