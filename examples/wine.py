"""Write the three files of the tutorial: two laboratories analyse the same kinds of wine with different instruments.

The data ships with scikit-learn. The drift of the second laboratory is simulated: each column gets a factor and an offset.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.datasets import load_wine


def main(folder: Path) -> None:
    """Write `source.csv` (labelled), `target.csv` (unlabelled) and `evaluation.csv` (labelled target data)."""
    wine, random = load_wine(), np.random.default_rng(0)
    names = [name.replace("/", "_") for name in wine.feature_names]
    rows = pl.DataFrame(wine.data, schema=names).with_columns(cultivar=pl.Series(wine.target_names[wine.target]))
    rows = rows.sample(fraction=1, shuffle=True, seed=0)
    first, second = rows[:90], rows[90:]
    deviations = rows.select(names).to_numpy().std(axis=0, ddof=1)
    drift = [
        pl.col(name) * random.uniform(0.7, 1.4) + random.normal() * deviation * 0.5
        for name, deviation in zip(names, deviations, strict=True)
    ]
    second = second.with_columns(drift)
    folder.mkdir(parents=True, exist_ok=True)
    first.write_csv(folder / "source.csv")
    second[30:].drop("cultivar").write_csv(folder / "target.csv")
    second[:30].write_csv(folder / "evaluation.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/wine"))
