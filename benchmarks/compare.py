"""`python -m benchmarks.compare A B`: figures of run B that are worse than those of run A beyond noise.

Both files are JSON results of `benchmarks.jobs` or `benchmarks.serving`. The change is the ratio of the medians. Its interval
is a bootstrap over the rounds of both runs. A figure is worse if the whole interval is worse and the change exceeds `--least`.
The exit status is 1 if a figure is worse.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.samples import Samples, read

DRAWS = 2000
MIN_ROUNDS = 3
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """The ratio of two medians, from 1 on a loss, and its interval."""

    name: str
    before: float
    after: float
    ratio: float
    low: float
    high: float

    def verdict(self, least: float) -> str:
        """Return `worse`, `better` or nothing; `least` is the smallest relative change that counts."""
        if self.low > 1 and self.ratio > 1 + least:
            return "worse"
        return "better" if self.high < 1 and self.ratio < 1 / (1 + least) else ""


def changes(before: Samples, after: Samples, seed: int = 0) -> list[Change]:
    """Return the changes of all figures that both runs have, in enough rounds and above zero."""
    names = [name for name in before if name in after and min(len(before[name]), len(after[name])) >= MIN_ROUNDS]
    usable = [name for name in names if np.median(before[name]) > 0 and np.median(after[name]) > 0]
    return [_change(name, before[name], after[name], np.random.default_rng(seed)) for name in usable]


def _change(name: str, before: Sequence[float], after: Sequence[float], random: np.random.Generator) -> Change:
    first, second = _medians(before, random), _medians(after, random)
    larger_is_better = name.endswith("/s")
    drawn = first / second if larger_is_better else second / first
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    old, new = float(np.median(before)), float(np.median(after))
    return Change(name, old, new, old / new if larger_is_better else new / old, float(low), float(high))


def _medians(values: Sequence[float], random: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the medians of bootstrap samples, kept above zero."""
    drawn = random.choice(np.asarray(values, np.float64), (DRAWS, len(values)))
    medians: np.ndarray[tuple[int], np.dtype[np.float64]] = np.maximum(np.median(drawn, axis=1), 1e-12)
    return medians


def render(found: Sequence[Change], least: float) -> str:
    """Return a line for each figure, the changed ones first."""
    ordered = sorted(found, key=lambda change: (not change.verdict(least), change.name))
    lines = [
        f"{change.verdict(least) or 'same':6} {change.name}: {change.before:.4g} -> {change.after:.4g}, "
        f"x {change.ratio:.2f} ({change.low:.2f} to {change.high:.2f})"
        for change in ordered
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Compare two results of a benchmark.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--least", type=float, default=0.05, help="Relative change below which a figure counts as the same.")
    options = parser.parse_args(arguments)
    found = changes(read(options.before), read(options.after))
    sys.stdout.write(render(found, options.least))
    return int(any(change.verdict(options.least) == "worse" for change in found))


if __name__ == "__main__":
    sys.exit(main())
