"""The accuracy on each source domain of a model that learned only the others.

Decision: the model is a logistic regression on the rows that also test the candidates, whatever the job trains. Context: a
network for each source would multiply the time of the job. Consequences: it takes seconds, and its accuracy on images and series
is far below that of a network; the differences between the sources are what it shows.
"""

from typing import Any

import torch
from torch import Tensor

from worker.data.examples import EncodedDataset
from worker.plain.data import fit_scale
from worker.plain.linear import LinearOptions, fit_linear
from worker.training.evidence_rows import evidence_rows, narrowed

MAX_ROWS = 2000
"""Rows of the other sources that a model learns, and rows of the one left out that measure it."""
MAX_DOMAINS = 20
CPU = torch.device("cpu")


def left_out_sources(source: EncodedDataset | None, classes: int) -> list[dict[str, Any]]:
    """Return name, rows and accuracy of each source domain, the first ones of very many; empty for a single one."""
    if source is None or source.domains is None:
        return []
    measured = []
    for number, name in enumerate(source.domain_names[:MAX_DOMAINS]):
        own = (source.domains == number).nonzero().squeeze(1)
        others = ((source.domains >= 0) & (source.domains != number)).nonzero().squeeze(1)
        measured.append({"name": name, "rows": len(own), "accuracy": _accuracy(source, others, own, classes)})
    return measured


def _accuracy(source: EncodedDataset, learned: Tensor, left_out: Tensor, classes: int) -> float:
    (inputs, labels), (others, truth) = (source.gather(_sample(rows), CPU) for rows in (learned, left_out))
    assert labels is not None
    assert truth is not None
    rows, other_rows, alignable = narrowed(*evidence_rows(inputs, others), classes)
    scale = fit_scale(rows, alignable)
    model = fit_linear(scale.apply(rows), labels.numpy(), classes, LinearOptions())
    return float((model.logits(scale.apply(other_rows)).argmax(axis=1) == truth.numpy()).mean())


def _sample(rows: Tensor) -> Tensor:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return rows[order[:MAX_ROWS].sort().values]
