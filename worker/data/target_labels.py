"""Labels of target rows that a job learns from: those rows join the source's training rows.

Decision: the rows become source rows, repeated until they are a fixed share of the source batches. Context: every method learns
the source by classification, and a few labelled target rows are the best evidence about the target. Consequences: all methods
can use them, without code of their own; a method that compares domains sees these few rows on the source's side. Alternatives:
a third batch per step and a term of its own in each method.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from app.formats.names import canonical_name
from worker.data.attempt_context import AttemptContext
from worker.data.examples import EncodedDataset
from worker.data.job_inputs import StoredDataset
from worker.data.splits import DomainData


@dataclass(frozen=True, slots=True)
class TargetLabels:
    """The positions (k,) of labelled target rows, and their class numbers (k,)."""

    positions: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.positions)


def read_target_labels(context: AttemptContext, target: StoredDataset | None, classes: list[str]) -> TargetLabels:
    """Return the labels of the target's file and of label requests, except for rows that measure accuracies."""
    given = context.training_job.target_labels or {}
    names: dict[int, str] = {}
    start = 0
    for chunk in target.chunks() if target is not None and target.row.labelled else ():
        names |= {start + index: label for index, label in enumerate(chunk.labels or ()) if label}
        start += chunk.rows
    names |= {row - 1: label for row, label in zip(given.get("rows", ()), given.get("labels", ()), strict=True)}
    measured = {row - 1 for row in given.get("measured", ())}
    numbers = {canonical_name(name) or name: number for number, name in enumerate(classes)}
    known = {row: numbers[name] for row, name in sorted(names.items()) if name in numbers and row not in measured}
    return TargetLabels(torch.tensor(list(known), dtype=torch.int64), torch.tensor(list(known.values()), dtype=torch.int64))


def learn_target_labels(data: DomainData, labels: TargetLabels, share: float) -> DomainData:
    """Add the labelled target rows to the source's training rows, `share` of which they become."""
    if data.source is None or data.target is None or not len(labels):
        return data
    first = len(data.source)
    repeats = max(1, round(share / (1 - share) * len(data.training) / len(labels)))
    added = torch.arange(first, first + len(labels)).repeat(repeats)
    return replace(
        data,
        source=_joined(data.source, data.target, labels),
        training=torch.cat([data.training, added]),
        learned_target=labels.positions,
    )


def _joined(source: EncodedDataset, target: EncodedDataset, labels: TargetLabels) -> EncodedDataset:
    assert source.labels is not None
    rows, groups = labels.positions, source.groups
    return replace(
        source,
        inputs={name: _appended(values, target.inputs[name][rows.to(values.device)]) for name, values in source.inputs.items()},
        labels=torch.cat([source.labels, labels.classes.to(source.labels.device)]),
        lengths=None if source.lengths is None or target.lengths is None else torch.cat([source.lengths, target.lengths[rows]]),
        groups=None if groups is None else torch.cat([groups, int(groups.max()) + 1 + torch.arange(len(rows))]),
        domains=None if source.domains is None else torch.cat([source.domains, torch.full((len(rows),), -1)]),
    )


def _appended(values: Tensor, rows: Tensor) -> Tensor:
    """Append rows to values; pad the shorter second axis with zeros (texts)."""
    if values.ndim == 2 and values.shape[1] != rows.shape[1]:
        longest = max(values.shape[1], rows.shape[1])
        values, rows = (F.pad(part, (0, longest - part.shape[1])) for part in (values, rows))
    return torch.cat([values, rows.to(values.device)])
