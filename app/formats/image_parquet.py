"""Images in Parquet as the Hugging Face library `datasets` writes them: a column of `{bytes, path}` and one of labels.

The names of classes are in the metadata of the file. A column `image` or `img` of plain bytes is read too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats import parquet
from app.formats.names import canonical_name

IMAGES, LABELS = ("image", "img"), ("label", "labels", "fine_label")
ROWS = 32
"""Rows that are read at a time, since each holds a whole file."""


def image_column(schema: Mapping[str, pl.DataType]) -> str | None:
    """Return the column with the images, None if there is none."""
    return next((name for name in IMAGES if name in schema and _bytes_of(schema[name]) is not None), None)


def has_images(path: Path) -> bool:
    """Return whether a Parquet file holds images. Raise InvalidDataset."""
    return image_column(dict(parquet.schema(path))) is not None


def rows(path: Path) -> Iterator[tuple[bytes, str | None]]:
    """Yield the bytes and the class of each image; None without a label column, "" for a missing label. Raise InvalidDataset."""
    schema = dict(parquet.schema(path))
    column = image_column(schema)
    if column is None:
        detail = "there is no column `image` of bytes or of {bytes, path}"
        raise InvalidDataset(detail, [FieldError("/columns", detail)])
    label = next((name for name in LABELS if name in schema), None)
    names = _class_names(path, label) if label else []
    image = pl.col(column).struct.field("bytes") if isinstance(schema[column], pl.Struct) else pl.col(column)
    scan = pl.scan_parquet(path, glob=False).select(image.alias("image"), *([pl.col(label).alias("label")] if label else []))
    for start in range(0, parquet.row_count(path), ROWS):
        block = parquet.collected(scan.slice(start, ROWS))
        for content, value in zip(block["image"], block["label"] if label else [None] * len(block), strict=True):
            yield content or b"", None if label is None else _class_name(value, names)


def _bytes_of(dtype: pl.DataType) -> pl.DataType | None:
    if isinstance(dtype, pl.Struct):
        dtype = next((field.dtype for field in dtype.fields if field.name == "bytes"), pl.Null())  # type: ignore[assignment]
    return dtype if dtype == pl.Binary else None


def _class_name(value: Any, names: list[str]) -> str:
    if names and isinstance(value, int):
        value = names[value] if 0 <= value < len(names) else None  # -1 marks an example without a label
    return canonical_name(value) or ""


def _class_names(path: Path, label: str) -> list[str]:
    """Return the names of the classes by number, empty if the file does not contain them."""
    try:
        names = parquet.metadata(path, "huggingface")["info"]["features"][label]["names"]
    except (LookupError, TypeError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
