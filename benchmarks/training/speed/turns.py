"""What every measured system uses; no more than the standard library, because each runs in an environment of its own."""

import json
import os
import sys
import time


class Turns:
    """Systems take turns, so that what else the machine does hits all alike: each waits after a turn until the next is asked for.

    A turn is a line on standard input, its answer a line on standard output; what a library prints goes to standard error.
    """

    def __init__(self, steps: int) -> None:
        """`steps` in a turn. The first step of all is not part of one: whatever was built for it is not measured."""
        self._steps, self._started = steps, False
        self._wall_before = self._cpu_before = 0.0
        self._wall: list[float] = []
        self._cpu: list[float] = []
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def step(self) -> None:
        """To be called after every step."""
        if self._started:
            self._wall.append(1000 * (time.perf_counter() - self._wall_before))
            self._cpu.append(1000 * (time.process_time() - self._cpu_before))
        if not self._started or len(self._wall) == self._steps:
            self._take_turn()
        self._wall_before, self._cpu_before = time.perf_counter(), time.process_time()

    def end(self, source: float, target: float) -> None:
        """What was learnt: accuracies on test data of both domains."""
        self._answer({"accuracies": [source, target]})

    def _take_turn(self) -> None:
        self._started = True
        self._answer({"wall": self._wall, "cpu": self._cpu})
        self._wall, self._cpu = [], []
        sys.stdin.readline()

    def _answer(self, values: dict[str, list[float]]) -> None:
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()
