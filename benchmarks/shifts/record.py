"""Recording of a shift: every candidate is trained, and its outputs are kept."""

import json
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.algorithms import PARAMS
from app.algorithms.base import parse_params
from benchmarks.adaptation.encoded import EncodedTask, encode_task, read_dataset
from benchmarks.adaptation.tasks import Task
from benchmarks.shifts.rows import Rows as LabelledRows
from benchmarks.shifts.rows import Shift
from worker import algorithms
from worker.data.splits import split_source
from worker.estimates.domain_gap import domain_gaps
from worker.estimates.reverse_scores import ReverseValidation
from worker.plain.data import PlainData, Rows, take
from worker.training.evidence_rows import evidence_rows

PLAIN = tuple(name for name, params in PARAMS.items() if params.plain_kind is not None)
IMAGE_SIZE = 12
SUFFIXES = {"tabular": "csv", "text": "jsonl", "image": "npz", "series": "npz"}

Arrays = dict[str, NDArray[Any]]


def record(shift: Shift, seed: int) -> Arrays:
    """Return the arrays of a record: labels, and outputs and reverse scores of every candidate."""
    source, target = shift.make(seed)
    task = encode(shift, source, target)
    params = parse_params({"algorithm": "logistic_regression", "seed": seed})
    split = split_source(task.source, task.target, task.evaluation, params)
    training, held_out = split.training.numpy(), split.held_out.numpy()
    source_rows, target_rows, alignable = evidence_rows(task.source.inputs, task.target.inputs)
    assert task.source.labels is not None
    assert task.evaluation.labels is not None
    labels, classes = task.source.labels.numpy(), len(task.classes)
    data = PlainData(_at(source_rows, training), labels[training], target_rows, classes, alignable)
    reverse = ReverseValidation(PlainData(source_rows, labels, target_rows, classes, alignable))
    arrays: Arrays = {
        "source_labels": labels[held_out].astype(np.int16),
        "target_labels": task.evaluation.labels.numpy().astype(np.int16),
        "domain_gaps": np.array(domain_gaps(source_rows, target_rows, alignable)),
        "priors": np.bincount(labels, minlength=classes) / len(labels),
    }
    for name in candidates(target_rows):
        began = time.monotonic()
        model = algorithms.plain_method(parse_params({"algorithm": name, "seed": seed})).fit(data)
        seconds = time.monotonic() - began
        on_source = model.source_probabilities(_at(source_rows, held_out))
        on_target = model.target_probabilities(target_rows)
        arrays |= {
            f"source/{name}": on_source.astype(np.float16),
            f"target/{name}": on_target.astype(np.float16),
            f"reverse/{name}": np.array(astuple(reverse.scores(on_target.argmax(axis=1)))),
            f"seconds/{name}": np.array(seconds),
        }
    return arrays


def candidates(rows: Rows) -> Sequence[str]:
    """Return the plain candidates; trees do not take the terms of texts, and most maps need columns."""
    if rows.terms is None:
        return PLAIN
    return "logistic_regression", "self_trained_logistic_regression", "importance_weighting"


def encode(shift: Shift, source: LabelledRows, target: LabelledRows) -> EncodedTask:
    """Encode source and target as a job does, from files like uploads."""
    suffix = SUFFIXES[shift.dataset.modality]
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / f"source.{suffix}", folder / f"target.{suffix}", folder / f"evaluation.{suffix}"
        write(source, files[0], is_labelled=True)
        write(target, files[1], is_labelled=False)
        write(target, files[2], is_labelled=True)
        network = {"network": "cnn", "input_size": IMAGE_SIZE} if shift.dataset.modality == "image" else None
        read_dataset.cache_clear()
        return encode_task.__wrapped__(Task(shift.key, files, 0, network=network), False)


def write(rows: LabelledRows, path: Path, *, is_labelled: bool) -> None:
    """Write rows as a file to upload."""
    if path.suffix == ".npz":
        arrays = {"x": rows.inputs, "y": rows.labels} if is_labelled else {"x": rows.inputs}
        np.savez(path, allow_pickle=False, **arrays)
    elif path.suffix == ".jsonl":
        labels = [{"label": label} if is_labelled else {} for label in rows.labels.tolist()]
        path.write_text(
            "".join(json.dumps({"text": text} | label) + "\n" for text, label in zip(rows.inputs, labels, strict=True))
        )
    else:
        frame = rows.inputs.with_columns(pl.Series("label", rows.labels)) if is_labelled else rows.inputs
        frame.write_csv(path)


def _at(rows: Rows, positions: NDArray[np.int64]) -> Rows:
    chosen = np.zeros(len(rows), bool)
    chosen[positions] = True
    return take(rows, chosen)
