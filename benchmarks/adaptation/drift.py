"""Tables with drifted columns, like the readings of another instrument: `python -m benchmarks.adaptation.drift DIR`.

It writes a folder to DIR for each dataset of scikit-learn, drift and seed, as tasks for the benchmark. The first rows are the
source. The columns of the other rows are scaled and shifted; they are the target, and some of them the evaluation.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer, load_wine

SEEDS = 4
DRIFTS = {"mild": ((0.8, 1.25), 0.3), "strong": ((0.6, 1.6), 0.8)}
"""Range of the factor of a column, and standard deviation of its offset in units of the column's own."""
DATASETS = {"cancer": (load_breast_cancer, 300, 100), "wine": (load_wine, 90, 40)}
"""Loader, rows of the source and rows of the evaluation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    for name in DATASETS:
        for drift in DRIFTS:
            for seed in range(SEEDS):
                write_task(folder / f"{name}-drift-{drift}-{seed}", name, drift, seed)


def write_task(folder: Path, name: str, drift: str, seed: int) -> None:
    """Write one task."""
    load, sources, evaluated = DATASETS[name]
    (least, most), moved = DRIFTS[drift]
    data, random = load(), np.random.default_rng(seed)
    columns = [f"f{number}" for number in range(data.data.shape[1])]
    rows = pl.DataFrame(data.data, schema=columns).with_columns(label=pl.Series(data.target_names[data.target]).cast(pl.String))
    rows = rows.sample(fraction=1, shuffle=True, seed=seed)
    drifted = [
        pl.col(column) * random.uniform(least, most) + random.normal() * rows[column].to_numpy().std(ddof=1) * moved
        for column in columns
    ]
    target = rows[sources:].with_columns(drifted)
    folder.mkdir(parents=True, exist_ok=True)
    rows[:sources].write_csv(folder / "source.csv")
    target[evaluated:].write_csv(folder / "target.csv")
    target[:evaluated].write_csv(folder / "evaluation.csv")


if __name__ == "__main__":
    main()
