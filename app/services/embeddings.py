"""The embedding of a version, from the file that its job has written (`worker.estimates.feature_embedding`)."""

from typing import Any

import polars as pl

from app.storage import Storage

COORDINATES = ("x_before", "y_before", "x_after", "y_after")
DECIMALS = 3


def read(storage: Storage, key: str) -> dict[str, Any]:
    """Return the columns of the file."""
    with storage.open(key) as file:
        table = pl.read_parquet(file.read())
    columns: dict[str, Any] = {name: table[name].round(DECIMALS).to_list() for name in COORDINATES}
    columns |= {name: table[name].to_list() if name in table.columns else None for name in ("row", "disputed")}
    return columns | {"domain": table["domain"].to_list(), "label": table["class"].to_list()}
