"""Alternation of the measured systems. Uses only the standard library, because each has its own environment."""

import json
import os
import sys
import time


class Rounds:
    """A system that waits after each round for its next one, so that other load on the machine affects all systems alike.

    A round is a line on standard input, its answer a line on standard output; what a library prints goes to standard error.
    """

    def __init__(self, steps: int) -> None:
        """Set the steps of a round. The very first step belongs to no round, so that set-up is not measured."""
        self._steps, self._started = steps, False
        self._wall_before = self._cpu_before = 0.0
        self._wall: list[float] = []
        self._cpu: list[float] = []
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def step(self) -> None:
        """Count a step. Call this after every step."""
        if self._started:
            self._wall.append(1000 * (time.perf_counter() - self._wall_before))
            self._cpu.append(1000 * (time.process_time() - self._cpu_before))
        if not self._started or len(self._wall) == self._steps:
            self._finish_round()
        self._wall_before, self._cpu_before = time.perf_counter(), time.process_time()

    def end(self, source: float, target: float) -> None:
        """Report the test accuracies on both domains."""
        self._answer({"accuracies": [source, target]})

    def _finish_round(self) -> None:
        self._started = True
        self._answer({"wall": self._wall, "cpu": self._cpu})
        self._wall, self._cpu = [], []
        sys.stdin.readline()

    def _answer(self, values: dict[str, list[float]]) -> None:
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()
