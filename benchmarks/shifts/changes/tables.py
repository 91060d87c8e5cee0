"""Shifts of tables: selection, drifting instruments, missing and recoded values."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.cluster import KMeans

from benchmarks.shifts.changes.labels import CHANGES as LABEL_CHANGES
from benchmarks.shifts.changes.labels import with_label_shift
from benchmarks.shifts.rows import Change, Domains, Random, Rows, divide, halves, number_columns

Matrix = NDArray[np.float64]


def selection(rows: Rows, random: Random) -> Domains:
    """Select source and target by the value of a random column, softly."""
    values = standardised(rows.inputs)
    column = values[:, random.integers(values.shape[1])]
    return divide(rows, expit(2.5 * (column - np.median(column))), random)


def subpopulation(rows: Rows, random: Random) -> Domains:
    """Draw the source mostly from one of two clusters and the target mostly from the other."""
    cluster = KMeans(2, n_init=2, random_state=int(random.integers(2**31))).fit_predict(standardised(rows.inputs))
    return divide(rows, np.where(cluster == random.integers(2), 0.1, 0.85), random)


def _drift(strength: float, fraction: float = 1.0) -> Change:
    """Return a change of gain and offset of a fraction of the columns."""

    def change(rows: Rows, random: Random) -> Domains:
        source, target = halves(rows, random)
        for name in chosen_columns(source.inputs, fraction, random):
            gain = np.exp(strength * random.normal() / 2)
            offset = strength * random.normal() * deviation(source.inputs[name])
            target = target.with_inputs(target.inputs.with_columns(pl.col(name).cast(pl.Float64) * gain + offset))
        return source, target

    return change


def missing_values(rows: Rows, random: Random) -> Domains:
    """Empty a third of the target's cells with numbers."""
    source, target = halves(rows, random)
    frame = target.inputs
    for name in number_columns(frame):
        is_missing = pl.Series(random.random(len(frame)) < 1 / 3)
        frame = frame.with_columns(pl.when(is_missing).then(None).otherwise(pl.col(name)).alias(name))
    return source, target.with_inputs(frame)


def recoded(rows: Rows, random: Random) -> Domains:
    """Change the unit of a third of the columns."""
    source, target = halves(rows, random)
    for name in chosen_columns(source.inputs, 1 / 3, random):
        target = target.with_inputs(target.inputs.with_columns(pl.col(name).cast(pl.Float64) * 1.8 + 32))
    return source, target


def noise(rows: Rows, random: Random) -> Domains:
    """Add noise to the target's numbers."""
    source, target = halves(rows, random)
    frame = target.inputs
    for name in number_columns(frame):
        values = frame[name].cast(pl.Float64).to_numpy()
        frame = frame.with_columns(
            pl.Series(name, values + 0.7 * deviation(source.inputs[name]) * random.normal(size=len(values)))
        )
    return source, target.with_inputs(frame)


def broken_sensor(rows: Rows, random: Random) -> Domains:
    """Shuffle a fifth of the columns in the target: they no longer say anything."""
    source, target = halves(rows, random)
    for name in chosen_columns(source.inputs, 0.2, random):
        shuffled = target.inputs[name].to_numpy()[random.permutation(len(target))]
        target = target.with_inputs(target.inputs.with_columns(pl.Series(name, shuffled)))
    return source, target


def chosen_columns(frame: pl.DataFrame, fraction: float, random: Random) -> list[str]:
    """Return a random fraction of the columns with numbers, at least one."""
    names = number_columns(frame)
    return [str(name) for name in random.permutation(names)[: max(1, round(fraction * len(names)))]]


def deviation(column: pl.Series) -> float:
    """Return the standard deviation without missing values."""
    return float(np.nanstd(column.cast(pl.Float64).fill_null(np.nan).to_numpy())) or 1.0


def standardised(frame: pl.DataFrame) -> Matrix:
    """Return the columns with numbers (n, d), standardised; missing values are zero."""
    matrix = frame.select(pl.col(number_columns(frame)).cast(pl.Float64)).fill_null(np.nan).to_numpy()
    values: Matrix = np.nan_to_num((matrix - np.nanmean(matrix, axis=0)) / (np.nanstd(matrix, axis=0) + 1e-9))
    return values


CHANGES: dict[str, Change] = {
    **LABEL_CHANGES,
    "selection": selection,
    "subpopulation": subpopulation,
    "drift": _drift(1.0),
    "small-drift": _drift(0.3),
    "two-sensors": _drift(2.0, 0.2),
    "missing": missing_values,
    "recoded": recoded,
    "noise": noise,
    "broken-sensor": broken_sensor,
    "drift-labels": with_label_shift(_drift(1.0)),
    "selection-labels": with_label_shift(selection),
}
ROTATION = [
    ("none", "drift", "selection", "drift-labels"),
    ("labels", "subpopulation", "two-sensors", "noise"),
    ("missing-class", "drift", "recoded", "selection-labels"),
    ("broken-sensor", "small-drift", "missing", "subpopulation"),
    ("none", "selection", "drift-labels", "two-sensors"),
    ("drift", "noise", "labels", "selection"),
]


def rotated(number: int) -> dict[str, Change]:
    """Return four changes, which differ from dataset to dataset."""
    return {name: CHANGES[name] for name in ROTATION[number % len(ROTATION)]}
