"""Runs on a small folder of tables: what is kept, what is not done twice."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.adaptation import report
from benchmarks.adaptation.__main__ import main
from benchmarks.adaptation.encoded import encode_task, kept_rows
from benchmarks.adaptation.plan import plan
from benchmarks.adaptation.store import Store
from benchmarks.adaptation.tasks import task_from_folder

METHODS = ("source_only", "mcc", "adabn")
STEPS = 4  # a check after each


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes in two columns; the target is moved."""
    folder = tmp_path_factory.mktemp("moved")
    random = np.random.default_rng(0)
    for name, shift in (("source", 0.0), ("target", 1.0), ("evaluation", 1.0)):
        labels = np.arange(200) % 2
        numbers = 3 * labels[:, None] + random.normal(size=(200, 2)) + shift
        table = pl.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "label": np.where(labels, "high", "low")})
        (table.drop("label") if name == "target" else table).write_csv(folder / f"{name}.csv")
    return folder


@pytest.fixture(scope="module")
def measured(task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    main(arguments(task, folder))
    return folder


def arguments(task: Path, folder: Path) -> list[str]:
    return [str(task), "--methods", *METHODS, "--seeds", "1", "--steps", str(STEPS), "--folder", str(folder)]


def test_each_run_is_a_row_with_its_results(measured: Path) -> None:
    runs = pl.read_parquet(measured / "runs.parquet").filter(pl.col("error").is_null())
    assert sorted(runs.select("method", "skewed").iter_rows()) == [
        ("mcc", False),
        ("mcc", True),
        ("source_only", False),
        ("source_only", True),
    ]
    assert (runs["oracle_accuracy"] >= runs["chosen_accuracy"]).all()
    assert runs["chosen_accuracy"].is_between(0, 1).all()
    alone = {row["skewed"]: row["last_accuracy"] for row in runs.to_dicts() if row["method"] == "source_only"}
    assert all(row["source_only_accuracy"] == alone[row["skewed"]] for row in runs.to_dicts())


def test_every_check_has_scores_and_the_truth(measured: Path) -> None:
    checks = pl.read_parquet(measured / "checks.parquet")
    assert checks.group_by("key").len()["len"].to_list() == [STEPS] * 4
    adapted = checks.filter(pl.col("method") == "mcc")
    for name in ("information_maximisation", "v_measure", "target_accuracy"):
        assert adapted[name].is_not_nan().all()


def test_failed_method_is_a_row_with_its_error(measured: Path) -> None:
    failed = pl.read_parquet(measured / "runs.parquet").filter(pl.col("method") == "adabn")
    assert all("batch norm" in error for error in failed["error"])


def test_finished_runs_are_not_repeated(task: Path, measured: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (measured / "parts").glob("*-mcc-*")}
    main(arguments(task, measured))
    assert before
    assert {path: path.stat().st_mtime_ns for path in (measured / "parts").glob("*-mcc-*")} == before


def test_run_claimed_by_another_process_is_skipped(task: Path, tmp_path: Path) -> None:
    run, *_ = plan([task_from_folder(task)], ["source_only"], [0], steps=STEPS)
    with Store(tmp_path).claim(run) as mine:
        main([*arguments(task, tmp_path), "--methods", "source_only", "--targets", "full"])
        assert mine
    assert not Store(tmp_path).is_done(run)


def test_report_contains_the_measurements(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["report", "--folder", str(measured)])
    report.main()
    text = (measured / "report.md").read_text()
    assert "skewed target" in text
    assert "| mcc | 1 |" in text
    assert "## Failed runs" in text
    assert (measured / "methods.png").exists()


def test_half_of_the_classes_of_a_skewed_target_are_cut() -> None:
    labels = [str(number % 4) for number in range(4000)]
    stays = kept_rows(labels)
    shares = [stays[number::4].mean() for number in range(4)]
    assert shares[:2] == [1, 1]
    assert shares[2:] == pytest.approx([0.15, 0.15], abs=0.03)


def test_skewed_target_without_labels_is_half_of_the_evaluation(task: Path) -> None:
    encoded = encode_task(task_from_folder(task), skewed=True)
    assert encoded.evaluation.labels is not None
    counts = encoded.evaluation.labels.bincount()
    assert counts[1] < counts[0] / 2
    everything = np.concatenate([encoded.target.inputs["numbers"].numpy(), encoded.evaluation.inputs["numbers"].numpy()])
    assert len(np.unique(everything, axis=0)) == len(encoded.target) + len(encoded.evaluation)
