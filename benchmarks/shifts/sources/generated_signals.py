"""Generated series: waves, pulses, machines and random processes, with other devices as targets."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from benchmarks.shifts.changes import signals
from benchmarks.shifts.rows import Dataset, Random, Rows

LENGTH, COUNT = 96, 1000
Series = Any
"""An array of float, whose operations numpy types as Any."""


def _wave(number: int, random: Random) -> Series:
    """Return a sine, square, triangle or chirp of random frequency and phase."""
    phase = 2 * np.pi * (np.linspace(0, random.uniform(3, 6), LENGTH) + random.random())
    kinds = (np.sin, signal.square, lambda x: signal.sawtooth(x, 0.5), lambda x: np.sin(x * np.linspace(1, 2, LENGTH)))
    return kinds[number](phase) + 0.6 * random.normal(size=LENGTH)


def _pulses(number: int, random: Random) -> Series:
    """Return heart beats, regular or with missing and early ones."""
    times = np.arange(8, LENGTH, 16) + random.integers(6)
    jitter = random.normal(0, 0.7 if number == 0 else 2.6, len(times))
    grid = np.arange(LENGTH)
    return np.exp(-(((grid[:, None] - times - jitter) / 1.6) ** 2)).sum(axis=1) + 0.15 * random.normal(size=LENGTH)


def _machine(number: int, random: Random) -> Series:
    """Return vibrations with other harmonics and impacts for each fault."""
    time = np.arange(LENGTH) / LENGTH
    base = random.uniform(7, 9)
    strengths = ((1, 0.2, 0.1), (0.8, 0.7, 0.1), (0.8, 0.2, 0.6), (0.7, 0.5, 0.5), (1, 0.1, 0.1))[number]
    wave = sum(a * np.sin(2 * np.pi * (k + 1) * base * time + random.uniform(0, 6)) for k, a in enumerate(strengths))
    impacts = (random.random(LENGTH) < (0.08 if number == 4 else 0.01)) * 2.5
    return wave + impacts + 0.5 * random.normal(size=LENGTH)


def _process(number: int, random: Random) -> Series:
    """Return autoregressive processes of other coefficients."""
    coefficients = ((0.5, 0.0), (0.8, -0.3), (0.2, 0.4))[number]
    return signal.lfilter([1], [1, -coefficients[0], -coefficients[1]], random.normal(size=LENGTH + 30))[30:]


def _burst(number: int, random: Random) -> Series:
    """Return noise with a burst of a tone, or without."""
    start, time = random.integers(LENGTH - 24), np.arange(24)
    series = 0.7 * random.normal(size=LENGTH)
    series[start : start + 24] += number * np.sin(2 * np.pi * time / random.uniform(4, 7)) * np.hanning(24) * 1.6
    return series


def _activity(number: int, random: Random) -> Series:
    """Return three axes of a sensor at rest, walking, running, on stairs and turning."""
    time = np.linspace(0, 1, LENGTH)
    pace = (0.2, 5, 9, 4, 1.5)[number] * random.uniform(0.85, 1.15)
    strength = np.array(((0.05, 0.05, 0.05), (0.5, 0.3, 1), (1, 0.6, 2), (0.5, 0.9, 1), (1, 1, 0.1))[number])
    waves = np.sin(2 * np.pi * pace * time + random.uniform(0, 6, (3, 1)))
    return strength[:, None] * waves + np.array([[0.0], [0.3], [1.0]]) + 0.45 * random.normal(size=(3, LENGTH))


KINDS: dict[str, tuple[Callable[[int, Random], Series], int, tuple[str, ...]]] = {
    "waves": (_wave, 4, ("none", "gain", "noise", "slower", "gain-labels")),
    "pulses": (_pulses, 2, ("none", "gain", "noise", "trend", "labels")),
    "machines": (_machine, 5, ("slower", "gain", "smooth", "missing-class")),
    "processes": (_process, 3, ("none", "gain", "smooth", "labels")),
    "bursts": (_burst, 2, ("gain", "noise", "trend", "missing-class", "gain-labels")),
    "activities": (_activity, 5, ("none", "gain", "slower", "noise", "gain-labels")),
}


def datasets(data: Path) -> Iterator[Dataset]:
    for name, (make, classes, changes) in KINDS.items():
        chosen = {change: signals.CHANGES[change] for change in changes}
        yield Dataset(f"signal-{name}", "series", partial(generate, make, classes), chosen)


def generate(make: Callable[[int, Random], Series], classes: int) -> Rows:
    """Return COUNT series of equally frequent classes."""
    random = np.random.default_rng(0)
    numbers = np.arange(COUNT) % classes
    series = np.array([np.atleast_2d(make(int(number), random)) for number in numbers], np.float32)
    return Rows(series, np.char.add("kind-", numbers.astype(str)))
