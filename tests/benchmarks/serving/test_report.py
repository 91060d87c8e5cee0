from pathlib import Path

from benchmarks.serving.report import ratio, render
from benchmarks.serving.results import Cell, Measured, Results

JSON = Cell("lenet", 1, "json", 8)


def measured(server: str, cell: Cell, number: int, cpu_us: float, p99_ms: float = 1.0) -> Measured:
    return Measured(server, cell, number, cpu_us, 1000.0, 0.5, p99_ms, 0)


def results(folder: Path) -> Results:
    written = Results(folder / "results.jsonl")
    for number, (ours, hello, peer) in enumerate(((150.0, 100.0, 600.0), (130.0, 110.0, 500.0)), start=1):
        written.add(measured("hello", Cell("lenet", 1, "get", 8), number, hello))
        written.add(measured("isthmus", JSON, number, ours, p99_ms=9.0))
        written.add(measured("mlserver", JSON, number, peer, p99_ms=3.0))
    return written


def test_ratios_are_of_the_cheapest_rounds(tmp_path: Path) -> None:
    written = results(tmp_path)
    assert ratio(written, "isthmus", JSON, "hello") == 1.3
    assert ratio(written, "mlserver", JSON, "hello") == 5.0
    assert ratio(written, "isthmus", JSON, "plain") is None


def test_report_lists_met_goals_and_better_tails(tmp_path: Path) -> None:
    text = render(results(tmp_path))
    assert "| LeNet, 28 x 28 grey, 1, json | 1.3 x hello | 1.30 | met |" in text
    assert "p99 above a peer's at 8 or 32 connections: lenet 1 json 8 (mlserver)." in text


def test_results_are_read_back_so_that_nothing_is_measured_twice(tmp_path: Path) -> None:
    results(tmp_path).find("alias", {"failed": 0})
    again = Results(tmp_path / "results.jsonl")
    assert again.has("isthmus", JSON, 2)
    assert not again.has("isthmus", JSON, 3)
    assert again.findings == {"alias": {"failed": 0}}
