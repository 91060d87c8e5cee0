"""A floor under the target accuracy: the disagreement-discrepancy bound.

Rosenfeld and Garg, NeurIPS 2023, https://arxiv.org/abs/2306.00312. A critic, a linear map of what the frozen network says, is
trained to agree with the network on the source and to disagree with it on the target. If the truth is no further from the
network than the best critic is (the paper's one assumption), then with confidence 1 - delta

    error_T <= error_S + (disagreement_T - disagreement_S) + sqrt((n_S + 4 n_T) log(1 / delta) / (2 n_S n_T))

where error and disagreement are measured on the n_S and n_T rows that did not train the critic. The last term is
McDiarmid's inequality: a source row moves the sum by 2 / n_S, a target row by 1 / n_T. The assumption is a strong one: of the
benchmark's 1,030 networks 92 % keep to the bound, not 95 %; those that do not are confident and wrong.

The critic sees the logits, not the features below them: wherever the domains can be told apart in the features, a critic on
those disagrees at will, and the floor is at zero for networks that are right nine times of ten.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.evaluation.outputs import Floats, ModelOutputs

DELTA = 0.05
RESTARTS, MOST_OUTPUTS = 5, 2000
"""Critics, fewer where that many outputs of all of them together are reached: of a thousand classes two take seconds."""
STEPS = 100
LOOK_EVERY = 10
LEARNING_RATE = 0.02


@dataclass(frozen=True, slots=True)
class AccuracyBound:
    """The accuracy on the target is at least `accuracy` (0 to 1) with this confidence, and how it came about."""

    accuracy: float
    confidence: float
    source_error: float
    discrepancy: float
    sampling: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Of one domain: standardised logits and a column of ones (n, classes + 1), and what the network says (n,)."""

    inputs: Tensor
    predicted: Tensor

    def answers(self, critics: Tensor) -> Tensor:
        """Logits (n, r, classes) of r critics, which are one matrix (classes + 1, r classes)."""
        return (self.inputs @ critics).view(len(self.inputs), -1, self.inputs.shape[1] - 1)

    def disagreement(self, critics: Tensor) -> Tensor:
        """Share of the rows for which each critic says another class than the network: (r,)."""
        return (self.answers(critics).argmax(dim=2) != self.predicted[:, None]).double().mean(dim=0)


def accuracy_lower_bound(evidence: ModelOutputs, seed: int = 0, delta: float = DELTA) -> AccuracyBound | None:
    """None with fewer than four rows of a domain: half of them train the critic, the other half measure."""
    sizes = len(evidence.source_logits), len(evidence.target_logits)
    if min(sizes) < 4:
        return None
    random = np.random.default_rng(seed)
    source_train, source_test = np.array_split(random.permutation(sizes[0]), 2)
    target_train, target_test = np.array_split(random.permutation(sizes[1]), 2)
    trained = evidence.source_logits[source_train], evidence.target_logits[target_train]
    mean, deviation = np.concatenate(trained).mean(axis=0), np.maximum(np.concatenate(trained).std(axis=0), 1e-6)

    def rows(logits: Floats) -> Rows:
        inputs = np.pad((logits - mean) / deviation, ((0, 0), (0, 1)), constant_values=1).astype(np.float32)
        return Rows(torch.from_numpy(inputs), torch.from_numpy(logits.argmax(axis=1)))

    measured = rows(evidence.source_logits[source_test]), rows(evidence.target_logits[target_test])
    network = torch.from_numpy(np.vstack([np.diag(deviation), mean]) / deviation.mean()).float()
    critics = _start(network, torch.Generator().manual_seed(seed))
    discrepancy = _largest_discrepancy(critics, (rows(trained[0]), rows(trained[1])), measured)
    error = float((measured[0].predicted.numpy() != evidence.source_labels[source_test]).mean())
    slack = sampling_error(len(source_test), len(target_test), delta)
    return AccuracyBound(max(0.0, 1 - error - discrepancy - slack), 1 - delta, error, discrepancy, slack)


def sampling_error(source_rows: int, target_rows: int, delta: float) -> float:
    """How far chance carries the measured sum with probability delta."""
    return sqrt((source_rows + 4 * target_rows) * log(1 / delta) / (2 * source_rows * target_rows))


def agreement_loss(logits: Tensor, predicted: Tensor) -> Tensor:
    """mean -log softmax(z)_y / log(classes) over logits z (n, r, classes) and the network's classes y (n,)."""
    restarts, classes = logits.shape[1:]
    return F.cross_entropy(logits.flatten(0, 1), predicted.repeat_interleave(restarts)) / log(classes)


def disagreement_loss(logits: Tensor, predicted: Tensor) -> Tensor:
    """mean log(1 + exp(z_y - mean of the other z)) / log 2, shapes as above."""
    own = logits.gather(2, predicted[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
    others = (logits.sum(dim=2) - own) / (logits.shape[2] - 1)
    return F.softplus(own - others).mean() / log(2)


def _largest_discrepancy(critics: Tensor, trained: tuple[Rows, Rows], measured: tuple[Rows, Rows]) -> float:
    """disagreement_T - disagreement_S on the measured (source, target) of the critic that is best on the trained ones.

    Not below zero: the network itself is a critic.
    """
    source, target = trained
    optimizer = torch.optim.Adam([critics], LEARNING_RATE)
    best, found, count = 0.0, 0.0, source.answers(critics).shape[1]
    for step in range(1, STEPS + 1):
        agreement = agreement_loss(source.answers(critics), source.predicted)
        loss = count * (agreement + disagreement_loss(target.answers(critics), target.predicted))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % LOOK_EVERY == 0:
            seen, unseen = (_discrepancies(critics, *rows) for rows in (trained, measured))
            if float(seen.max()) > best:
                best, found = float(seen.max()), float(unseen[seen.argmax()])
    return max(0.0, found)


@torch.no_grad()
def _discrepancies(critics: Tensor, source: Rows, target: Rows) -> Tensor:
    return target.disagreement(critics) - source.disagreement(critics)


def _start(network: Tensor, generator: torch.Generator) -> Tensor:
    """Critics (classes + 1, r classes) to be trained: the network itself (classes + 1, classes), then random ones."""
    inputs, classes = network.shape
    count = max(1, min(RESTARTS, MOST_OUTPUTS // classes))
    others = 2 * torch.rand(inputs, (count - 1) * classes, generator=generator) - 1
    return torch.cat([network, others * inputs**-0.5], dim=1).requires_grad_()
