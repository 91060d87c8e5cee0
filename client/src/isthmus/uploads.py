"""Files to upload, made from the data of other libraries. They are recognised by their methods and never imported."""

import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from isthmus.values import is_image, plain, png

LABEL = "label"


@dataclass(frozen=True)
class UploadFile:
    """A dataset file. The ending of its name is its format; `open` is called again for each attempt."""

    name: str
    open: Callable[[], BinaryIO]
    modality: str | None = None


def upload_file(data: Any, label: str | None) -> UploadFile:
    """Return the file for a path, folder, frame, `(X, y)`, list of images, texts or rows, array, or `datasets.Dataset`."""
    if isinstance(data, str | Path):
        path = Path(data)
        if path.is_dir():
            return UploadFile(f"{path.name}.zip", lambda: _zipped(path))
        return UploadFile(path.name, lambda: path.open("rb"))
    if isinstance(data, tuple):
        inputs, labels = data
        return _labelled(inputs, [plain(each) for each in labels], label or LABEL)
    frame = data.collect() if hasattr(data, "collect") else data
    return _frame(frame) if hasattr(frame, "write_parquet") or hasattr(frame, "to_parquet") else _inputs(data, None, LABEL)


def _labelled(inputs: Any, labels: list[Any], label: str) -> UploadFile:
    if len(inputs) != len(labels):
        raise ValueError(f"There are {len(inputs)} inputs, but {len(labels)} labels.")
    if hasattr(inputs, "write_parquet"):
        return _frame(inputs.hstack([type(inputs.to_series(0))(label, labels)]))
    return _frame(inputs.assign(**{label: labels})) if hasattr(inputs, "assign") else _inputs(inputs, labels, label)


def _frame(frame: Any) -> UploadFile:
    buffer = io.BytesIO()
    if hasattr(frame, "write_parquet"):
        frame.write_parquet(buffer)
    elif hasattr(frame, "features"):  # datasets.Dataset
        frame.to_parquet(buffer)
    else:
        try:
            frame.to_parquet(buffer, index=False)
        except ImportError:  # pandas without pyarrow
            return UploadFile("data.csv", partial(io.BytesIO, frame.to_csv(index=False).encode()))
    return UploadFile("data.parquet", partial(io.BytesIO, buffer.getvalue()))


def _inputs(inputs: Any, labels: list[Any] | None, label: str) -> UploadFile:
    if getattr(inputs, "ndim", 0) > 2:
        return UploadFile("data.npz", partial(io.BytesIO, _npz(inputs, labels)))
    items = list(inputs.tolist() if hasattr(inputs, "tolist") else inputs)
    if items and is_image(items[0]):
        return UploadFile("images.zip", partial(io.BytesIO, _images(items, labels)), "image")
    if items and isinstance(items[0], str):
        return _json_lines([{"text": item} for item in items], labels, label, "text")
    if items and isinstance(items[0], Sequence):
        return _json_lines([{f"x{i + 1}": cell for i, cell in enumerate(row)} for row in items], labels, label, "tabular")
    if items and isinstance(items[0], dict):
        return _json_lines(items, labels, label, None)
    found = f"a list of {type(items[0]).__name__}" if items else "an empty list"
    raise TypeError(f"Cannot upload {found}. Pass a path, a folder, a frame, (X, y), images, texts, rows or an array.")


def _json_lines(rows: list[dict[str, Any]], labels: list[Any] | None, label: str, modality: str | None) -> UploadFile:
    given = rows if labels is None else [row | {label: value} for row, value in zip(rows, labels, strict=True)]
    content = "\n".join(json.dumps(plain(row)) for row in given).encode()
    return UploadFile("data.jsonl", partial(io.BytesIO, content), modality)


def _npz(inputs: Any, labels: list[Any] | None) -> bytes:
    array = inputs.numpy() if hasattr(inputs, "numpy") else inputs  # tensors of torch
    numpy, buffer = sys.modules["numpy"], io.BytesIO()  # imported by whoever made the array
    numpy.savez_compressed(buffer, x=array, **({} if labels is None else {"y": numpy.asarray(labels)}))
    return buffer.getvalue()


def _images(images: list[Any], labels: list[Any] | None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, image in enumerate(images):
            folder = "images" if labels is None else re.sub(r"[/\\]", "_", str(labels[index]))
            archive.writestr(f"{folder}/{index:08}.png", png(image))
    return buffer.getvalue()


def _zipped(folder: Path) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed after the request
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return file
