"""Comparison of two runs, on synthetic results."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare import changes, main
from benchmarks.samples import Samples, write


def noisy(mean: float, deviation: float, seed: int, rounds: int = 9) -> list[float]:
    values: list[float] = np.random.default_rng(seed).normal(mean, deviation, rounds).tolist()
    return values


@pytest.mark.parametrize(
    ("name", "factor", "deviation", "verdict"),
    [
        ("dann: total s", 1.3, 0.05, "worse"),
        ("dann: total s", 1 / 1.3, 0.05, "better"),
        ("dann: total s", 1.0, 0.05, ""),
        ("dann: total s", 1.03, 0.001, ""),
        ("dann: total s", 1.3, 0.6, ""),
        ("predict/s", 1.3, 0.05, "better"),
        ("predict/s", 1 / 1.3, 0.05, "worse"),
    ],
)
def test_only_changes_beyond_noise_count(name: str, factor: float, deviation: float, verdict: str) -> None:
    (change,) = changes({name: noisy(2, 2 * deviation, 1)}, {name: noisy(2 * factor, 2 * deviation, 2)})
    assert change.verdict(0.05) == verdict


def test_few_rounds_and_unknown_figures_are_not_compared() -> None:
    before: Samples = {"a": [1.0, 1.0], "b": [1.0] * 5, "zero": [0.0] * 5}
    assert changes(before, {"a": [9.0, 9.0], "zero": [1.0] * 5}) == []


def test_command_fails_on_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file, mean in zip(files, (1.0, 2.0), strict=True):
        write(file, {"dann: total s": noisy(mean, 0.01, 0), "auto: total s": noisy(8, 0.01, 0)})
    assert main([str(file) for file in files]) == 1
    assert capsys.readouterr().out.startswith("worse  dann: total s")
    assert main([str(files[0]), str(files[0])]) == 0
