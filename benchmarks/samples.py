"""Results of benchmarks as JSON: for each figure the values of all rounds."""

import json
from pathlib import Path

Samples = dict[str, list[float]]
"""Values of rounds, by a name such as `dann: total s`. Smaller is better, except for names that end in `/s`."""


def write(path: Path, samples: Samples) -> None:
    """Write the samples of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"samples": samples}, indent=1))


def read(path: Path) -> Samples:
    """Read the samples of a run."""
    samples: Samples = json.loads(path.read_text())["samples"]
    return samples
