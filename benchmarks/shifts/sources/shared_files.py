"""Data that lies outside the repository: digits, photographs, reviews, heart data, and the six tasks that only judge."""

import io
import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from benchmarks.shifts.changes import images, tables, texts
from benchmarks.shifts.rows import Change, Dataset, Rows, by_group, sample

DIGIT_ROWS, DIGIT_SIZE, PHOTOGRAPH_SIZE = 3000, 14, 16
JUDGING = "shifts"
"""Folder of the tasks that are never fitted to."""


def datasets(data: Path) -> Iterator[Dataset]:
    """Yield the datasets whose files exist."""
    if (data / "digits").exists():
        pairs = (("mnist", "usps"), ("usps", "mnist"), ("mnist", "mnistm"), ("usps", "mnistm"))
        changes = {f"{first}-{second}": _between(first, second) for first, second in pairs}
        yield Dataset("postal-digits", "image", partial(all_digits, data / "digits"), changes)
        low = changes | {"mnist-labels": _within("mnist", images.CHANGES["contrast-labels"])}
        yield Dataset("postal-parity", "image", partial(all_digits, data / "digits", parity=True), low, "postal-digits")
    if (data / "images").exists():
        changes = {"amazon-webcam": _between("amazon", "webcam"), "amazon": _within("amazon", images.CHANGES["contrast"])}
        yield Dataset("office", "image", partial(office, data / "images"), changes)
    if (data / "text").exists():
        changes = {"books-dvd": _between("books", "dvd"), "dvd-books": _between("dvd", "books")}
        generated = {f"books-{name}": _within("books", texts.CHANGES[name]) for name in ("none", "vocabulary", "labels", "short")}
        yield Dataset("reviews", "text", partial(reviews, data / "text"), changes | generated)
    if (data / "tabular").exists():
        changes = {
            "cleveland-hungarian": _between("cleveland", "hungarian"),
            "hungarian-cleveland": _between("hungarian", "cleveland"),
        }
        within = {f"cleveland-{name}": _within("cleveland", tables.CHANGES[name]) for name in ("drift", "missing")}
        yield Dataset("heart", "tabular", partial(heart, data / "tabular"), changes | within)
    for folder in sorted(path for path in (data / JUDGING).glob("*") if path.is_dir()):
        modality = {".jsonl": "text", ".csv": "tabular", ".npz": "series"}[next(folder.glob("source.*")).suffix]
        yield Dataset(
            f"task-{folder.name}", modality, partial(task, folder), {"task": _between("source", "target")}, is_for_fitting=False
        )


def all_digits(folder: Path, parity: bool = False) -> Rows:
    """Return samples of three kinds of digits as small grey images."""
    files = {"mnist": "mnist_train.npz", "usps": "usps_train.npz", "mnistm": "mnistm_test.npz"}
    parts = []
    for name, file in files.items():
        with np.load(folder / file) as arrays:
            chosen = np.random.default_rng(0).permutation(len(arrays["y"]))[:DIGIT_ROWS]
            pixels, labels = arrays["x"][chosen], arrays["y"][chosen]
        grey = pixels.mean(axis=3) if pixels.ndim == 4 else pixels
        small = grey.reshape(-1, DIGIT_SIZE, 2, DIGIT_SIZE, 2).mean(axis=(2, 4)).astype(np.uint8)
        names = np.where(labels % 2 == 0, "even", "odd") if parity else labels.astype(str)
        parts.append((small, names, name))
    return _joined(parts)


def office(folder: Path) -> Rows:
    """Return photographs of objects as small images."""
    parts = []
    for name, file in (("amazon", "amazon.zip"), ("webcam", "webcam_labelled.zip")):
        pixels, labels = [], []
        with zipfile.ZipFile(folder / file) as archive:
            for member in sorted(archive.namelist()):
                if member.endswith((".jpg", ".png")):
                    image = Image.open(io.BytesIO(archive.read(member))).convert("L").resize((PHOTOGRAPH_SIZE, PHOTOGRAPH_SIZE))
                    pixels.append(np.asarray(image))
                    labels.append(Path(member).parent.name)
        parts.append((np.array(pixels), np.array(labels), name))
    return _joined(parts)


def reviews(folder: Path) -> Rows:
    found, labels, domains = [], [], []
    for name in ("books", "dvd"):
        for line in (folder / f"{name}_labelled.jsonl").read_text().splitlines():
            row = json.loads(line)
            found.append(row["text"])
            labels.append(str(row["label"]))
            domains.append(name)
    return Rows(found, np.array(labels), {"domain": np.array(domains)})


def heart(folder: Path) -> Rows:
    frames = [
        pl.read_csv(folder / f"heart_{name}_labelled.csv", infer_schema_length=None).with_columns(domain=pl.lit(name))
        for name in ("cleveland", "hungarian")
    ]
    frame = pl.concat(frames, how="vertical_relaxed")
    groups = {"domain": frame["domain"].to_numpy()}
    return Rows(frame.drop("label", "domain"), frame["label"].to_numpy().astype(str), groups)


def task(folder: Path) -> Rows:
    """Return the source, and the labelled evaluation as the target."""
    parts = [(*_read(next(folder.glob(f"{file}.*"))), name) for file, name in (("source", "source"), ("evaluation", "target"))]
    return _joined(parts)


def _read(path: Path) -> tuple[object, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return arrays["x"], arrays["y"].astype(str)
    frame = pl.read_ndjson(path) if path.suffix == ".jsonl" else pl.read_csv(path, infer_schema_length=None)
    labels = frame["label"].cast(pl.String).to_numpy().astype(str)
    return (frame["text"].to_list() if path.suffix == ".jsonl" else frame.drop("label")), labels


def _joined(parts: list[tuple[Any, Any, str]]) -> Rows:
    inputs = [values for values, _, _ in parts]
    if isinstance(inputs[0], pl.DataFrame):
        joined: object = pl.concat(inputs, how="vertical_relaxed")
    elif isinstance(inputs[0], list):
        joined = [text for texts_ in inputs for text in texts_]
    else:
        joined = np.concatenate(inputs)
    domains = np.concatenate([np.full(len(labels), name) for _, labels, name in parts])
    return Rows(joined, np.concatenate([labels for _, labels, _ in parts]), {"domain": domains})


def _between(source: str, target: str) -> Change:
    return by_group("domain", lambda domain: domain == source, lambda domain: domain == target)


def _within(domain: str, change: Change) -> Change:
    return lambda rows, random: change(sample(rows.take(np.flatnonzero(rows.groups["domain"] == domain)), 10**9, random), random)
