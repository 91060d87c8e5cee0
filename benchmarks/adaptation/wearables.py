"""A generated task of sensor windows: `python -m benchmarks.adaptation.wearables FOLDER`.

Four movements of people who wear an accelerometer with three channels. In the target they wear it at another angle, on another
device (gain, noise and another offset), and move faster. A group is a person.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MOVEMENTS = ("cycling", "running", "stairs", "walking")
FREQUENCIES = np.array([1.1, 2.6, 1.6, 1.8])
"""Of the movements, in Hz. Stairs and walking differ in their harmonics and in the axis of the movement."""
HARMONICS = np.array([[0.1, 0.0], [0.7, 0.4], [0.6, 0.1], [0.3, 0.5]])
AXES = np.array([[1.0, 0.3, 0.2], [0.4, 1.0, 0.6], [0.3, 0.8, 1.0], [0.3, 1.0, 0.4]])
STEPS, RATE, PEOPLE = 128, 50, 12


@dataclass(frozen=True, slots=True)
class Domain:
    """How the people of a domain wear their devices and move."""

    angle: float
    gain: float
    offset: float
    speed: float
    noise: float


SOURCE = Domain(angle=0.0, gain=1.0, offset=0.0, speed=1.0, noise=0.25)
TARGET = Domain(angle=0.3, gain=1.25, offset=0.3, speed=1.06, noise=0.35)


def make(domain: Domain, count: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return windows `x` (count, 3, 128), the movements `y` and the people `group`."""
    random = np.random.default_rng(seed)
    movement, person = random.integers(0, len(MOVEMENTS), count), random.integers(0, PEOPLE, count)
    styles = random.normal(1, 0.08, PEOPLE)[person] * domain.speed
    phase = 2 * np.pi * FREQUENCIES[movement] * styles * random.normal(1, 0.03, count)
    angles = phase[:, None] * np.arange(STEPS) / RATE + random.uniform(0, 2 * np.pi, (count, 1))
    first, second = HARMONICS[movement].T[:, :, None]
    wave = np.sin(angles) + first * np.sin(2 * angles + 0.7) + second * np.sin(3 * angles + 1.9)
    strength = AXES[movement] * random.normal(1, 0.15, (count, 3))
    signals = strength[:, :, None] * wave[:, None] + random.normal(0, domain.noise, (count, 3, STEPS))
    x = domain.gain * np.einsum("ij,njt->nit", _rotation(domain.angle), signals) + domain.offset
    return {"x": x.astype(np.float32), "y": np.array(MOVEMENTS)[movement], "group": person}


def write(folder: Path, source: int = 1200, target: int = 1200, evaluation: int = 600) -> None:
    """Write `source.npz`, `target.npz` without labels, and `evaluation.npz` with these numbers of windows."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "source.npz", **make(SOURCE, source, 0))  # type: ignore[arg-type]
    np.savez(folder / "target.npz", x=make(TARGET, target, 1)["x"])
    labelled = make(TARGET, evaluation, 2)
    np.savez(folder / "evaluation.npz", x=labelled["x"], y=labelled["y"])


def _rotation(angle: float) -> NDArray[np.float64]:
    """Return the rotation of the device around its first and its last axis."""
    cosine, sine = np.cos(angle), np.sin(angle)
    around_first = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    around_last = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = around_first @ around_last
    return rotation


if __name__ == "__main__":
    write(Path(sys.argv[1]))
