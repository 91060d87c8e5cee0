"""Columns as a model knows them, stored in its manifest."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.formats.names import canonical_name, canonical_names

MAX_LEVELS = 1000


class _FittedColumn(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class NumberColumn(_FittedColumn):
    """Numbers, which the network standardises by mean and deviation over the source. Those in `missing` are read as missing."""

    kind: Literal["number"] = "number"
    mean: float
    std: float
    missing: tuple[float, ...] = ()


class CategoryColumn(_FittedColumn):
    """Categories, encoded as 1 + the index in `levels`; 0 means missing or unknown."""

    kind: Literal["category"] = "category"
    levels: tuple[str, ...]


class TextColumn(_FittedColumn):
    """Texts. The terms of all text columns of a row are encoded together."""

    kind: Literal["text"] = "text"


class UnusedColumn(_FittedColumn):
    """A column that is accepted and ignored: without values in the source, not in the target, or not learned."""

    kind: Literal["unused"] = "unused"


AnyColumn = Annotated[NumberColumn | CategoryColumn | TextColumn | UnusedColumn, Field(discriminator="kind")]


def level_codes(levels: Sequence[str]) -> dict[str, int]:
    """Return the code of each level. Codes of one width such as `01` are also found as numbers, which have no zeros."""
    codes = {name: code for code, level in enumerate(levels, 1) if (name := canonical_name(level))}
    if len(set(map(len, codes))) == 1 and all(name.isascii() and name.isdecimal() for name in codes):
        codes |= {str(int(name)): code for name, code in codes.items()}
    return codes


def encode_levels(values: pl.Series, codes: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the code of each value, 0 if it is missing or unknown."""
    names = canonical_names(values)
    return names.replace_strict(codes, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
