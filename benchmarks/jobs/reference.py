"""`python -m benchmarks.jobs.reference KIND FILE...`: the same work with scikit-learn, as a process of its own.

`train SOURCE TARGET` reads both tables, scales them, trains an MLP for 20 epochs and predicts the target. `predict SOURCE TABLE
OUTPUT` reads a table, predicts its rows and writes the predictions; the model that it needs is trained on few rows before.
"""

import sys
from collections.abc import Callable

import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(source: str, target: str) -> None:
    """Train on the source and predict the target."""
    table = pl.read_csv(source)
    network = MLPClassifier((100,), batch_size=64, max_iter=20, random_state=0)
    model = make_pipeline(StandardScaler(), network)
    model.fit(table.drop("label").to_numpy(), table["label"].to_numpy())
    model.predict_proba(pl.read_csv(target).to_numpy())


def predict(source: str, table: str, output: str) -> None:
    """Predict the rows of a table with a small model."""
    known = pl.read_csv(source).head(100)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(known.drop("label").to_numpy(), known["label"].to_numpy())
    probabilities = model.predict_proba(pl.read_csv(table).to_numpy())
    labels = model.classes_[probabilities.argmax(axis=1)]
    pl.DataFrame({"label": labels, "confidence": probabilities.max(axis=1)}).write_parquet(output)


KINDS: dict[str, Callable[..., None]] = {"train": train, "predict": predict}

if __name__ == "__main__":
    KINDS[sys.argv[1]](*sys.argv[2:])
