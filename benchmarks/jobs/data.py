"""Tables of numbers with three classes, and a target with shifted columns, as CSV files."""

from pathlib import Path

import numpy as np
import polars as pl

COLUMNS, CLASSES = 13, 3


def table(rows: int, *, target: bool, labelled: bool, classes: int = CLASSES, seed: int = 0) -> pl.DataFrame:
    """Return a table of clusters, one for each class."""
    random = np.random.default_rng([seed, int(target)])
    centres = np.random.default_rng(seed).normal(size=(classes, COLUMNS)) * 2
    labels = random.integers(0, classes, rows)
    numbers = centres[labels] + random.normal(size=(rows, COLUMNS)) + (0.7 if target else 0.0)
    frame = pl.DataFrame(numbers.round(4), schema=[f"x{number}" for number in range(COLUMNS)])
    return frame.with_columns(pl.Series("label", [f"class {label}" for label in labels])) if labelled else frame


def write(folder: Path, name: str, rows: int, *, target: bool, labelled: bool) -> Path:
    """Write a table as CSV and return the path."""
    path = folder / f"{name}.csv"
    table(rows, target=target, labelled=labelled).write_csv(path)
    return path
