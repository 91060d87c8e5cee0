"""`python -m benchmarks.labels` simulates labelling over the records of `python -m benchmarks.shifts record`.

The table has coverage and width of the intervals, and decided verdicts, by modality and number of labels.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from benchmarks.labels.simulation import Subject, simulate
from benchmarks.shifts.registry import all_datasets
from benchmarks.shifts.rows import Shift
from benchmarks.shifts.store import Store

SOURCE_ONLY = "logistic_regression"
LARGE_GAIN = 0.03
"""A difference of the accuracies that labels should find."""
ADAPTED = ("standardized_logistic_regression", "self_trained_logistic_regression", "gradient_boosting")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/shifts"), help="Folder of the records.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Folder of the data outside the repository.")
    parser.add_argument("--draws", type=int, default=20, help="Draws for each pair of models.")
    options = parser.parse_args(arguments)
    outcomes = [one for subject in subjects(options.folder, options.data) for one in simulate(subject, options.draws)]
    sys.stdout.write(table(pl.DataFrame(outcomes)) + "\n")


def subjects(folder: Path, data: Path) -> Iterator[Subject]:
    """Yield the first adapted candidate of each record, with the source-only model."""
    store = Store(folder)
    for dataset in all_datasets(data):
        for name in dataset.changes:
            shift = Shift(dataset, name)
            for seed in store.seeds(shift):
                record = store.load(shift, seed)
                adapted = next((one for one in ADAPTED if f"target/{one}" in record), None)
                if adapted is not None and len(record["target_labels"]) >= 40:
                    outputs = record[f"target/{adapted}"], record[f"target/{SOURCE_ONLY}"]
                    yield Subject(dataset.modality, *outputs, record["target_labels"])


def table(outcomes: pl.DataFrame) -> str:
    """Return the figures by modality and look, and over all modalities, as a Markdown table."""
    large = pl.col("true_gain").abs() > LARGE_GAIN
    sign = pl.when(pl.col("true_gain") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
    given = pl.col("verdict").is_in(["yes", "no"])
    figures = {
        "pairs x draws": pl.len(),
        "mean error": pl.col("error").mean() * 100,
        "covered": pl.col("covered").mean() * 100,
        "width": pl.col("width").mean() * 100,
        "gain covered": pl.col("gain_covered").mean() * 100,
        "gain width": pl.col("gain_width").mean() * 100,
        "right, gain over 3 points": (pl.col("verdict") == sign).filter(large).mean() * 100,
        "wrong of decided": ((pl.col("verdict") != sign).filter(given)).mean() * 100,
    }
    columns = [expression.alias(name) for name, expression in figures.items()]
    by_modality = outcomes.group_by("modality", "look").agg(columns).sort("modality", "look")
    overall = outcomes.with_columns(modality=pl.lit("all")).group_by("modality", "look").agg(columns).sort("look")
    lines = [["modality", "labels", *figures], ["---"] * (len(figures) + 2)]
    lines += [[_cell(value) for value in row] for row in (*by_modality.rows(), *overall.rows())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    main()
