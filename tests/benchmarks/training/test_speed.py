"""Tests of the figures and the rounds of the speed benchmark."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.training.speed.__main__ import ratios, table
from benchmarks.training.speed.systems import ADAPT, LEAN, OURS, PYTORCH_ADAPT, SKADA, Kind, System

CHILD = """
from benchmarks.training.speed.rounds import Rounds
rounds = Rounds(3)
for step in range(7):
    print("a library talks")
    rounds.step()
rounds.end(0.9, 0.5)
"""


def make_system(kind: Kind, *rounds: float) -> System:
    """Return rounds of three steps with these milliseconds."""
    process = subprocess.Popen([sys.executable, "--version"], stdout=subprocess.DEVNULL, text=True)
    process.wait()
    steps = [[milliseconds] * 3 for milliseconds in rounds]
    return System(kind, process, Path(), steps, steps, [0.9, 0.5])


def test_ratios_are_to_the_faster_of_the_pytorch_peers() -> None:
    times = {OURS: (11.0, 12.0, 13.0), LEAN: (10.0, 12.0, 10.0), SKADA: (40.0,), PYTORCH_ADAPT: (22.0, 24.0), ADAPT: (20.0,)}
    measured = {kind: make_system(kind, *rounds) for kind, rounds in times.items()}
    assert ratios(measured).splitlines()[2:] == [
        "| lean loop | 1.10 | 1.20 | 1.10 | at most 1.10 |",
        "| pytorch-adapt | 0.50 | 0.52 | 0.50 | at most 0.55 |",
        "| adapt (TensorFlow) | 0.55 | 0.60 | 0.55 | below 0.80 |",
    ]
    assert table(measured).splitlines()[2] == "| ours | 11.0 | 12.0 | 11.0 | 90.0 | 50.0 |"


def test_ratios_without_peers_are_empty() -> None:
    assert len(ratios({OURS: make_system(OURS, 1.0)}).splitlines()) == 2


def test_system_waits_after_each_turn_excluding_the_first_step() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], input="\n\n\n", capture_output=True, text=True, check=True)
    ready, *rounds, learnt = map(json.loads, child.stdout.splitlines())
    assert ready == {"wall": [], "cpu": []}
    assert [len(turn["wall"]) for turn in rounds] == [3, 3]
    assert learnt == {"accuracies": [0.9, 0.5]}
    assert child.stderr.count("a library talks") == 7
