"""Lower bound of the target accuracy: the disagreement-discrepancy bound.

Rosenfeld and Garg, NeurIPS 2023, https://arxiv.org/abs/2306.00312. A critic is a linear map of the frozen network's logits. It
is trained to agree with the network on the source and to disagree on the target. The paper assumes that the true labels
disagree with the network no more than the best critic does. Then, with confidence 1 - delta,

    error_T <= error_S + (disagreement_T - disagreement_S) + sqrt((n_S + 4 n_T) log(1 / delta) / (2 n_S n_T))

Error and disagreement are measured on the n_S source and n_T target rows that did not train the critic. The last term is
McDiarmid's inequality: a source row changes the sum by 2 / n_S, a target row by 1 / n_T. The assumption is strong: 92 % of the
benchmark's 1,030 networks satisfy the bound, not 95 %. Networks that are confident and wrong violate it.

The critic sees the logits instead of the features. If the domains are separable in the features, a critic on features disagrees
at will, and the bound is zero even for networks of 90 % accuracy.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.evaluation.outputs import Float32Array, ModelOutputs

DELTA = 0.05
RESTARTS, MAX_CRITIC_OUTPUTS = 5, 2000
"""Number of critics, reduced so that their outputs stay below the maximum: two critics of 1,000 classes take seconds."""
CRITIC_STEPS = 100
EVALUATION_INTERVAL = 10
CRITIC_LEARNING_RATE = 0.02


@dataclass(frozen=True, slots=True)
class AccuracyBound:
    """Lower bound of the target accuracy (0 to 1), its confidence, and the terms of the bound."""

    accuracy: float
    confidence: float
    source_error: float
    discrepancy: float
    sampling: float


@dataclass(frozen=True, slots=True)
class DomainRows:
    """Rows of one domain: standardised logits with a column of ones (n, classes + 1), and predicted classes (n,)."""

    inputs: Tensor
    predicted: Tensor

    def critic_logits(self, critics: Tensor) -> Tensor:
        """Return the logits (n, r, classes) of r critics, which are one matrix (classes + 1, r classes)."""
        return (self.inputs @ critics).view(len(self.inputs), -1, self.inputs.shape[1] - 1)

    def disagreement(self, critics: Tensor) -> Tensor:
        """Return the fraction (r,) of rows on which each critic disagrees with the network."""
        return (self.critic_logits(critics).argmax(dim=2) != self.predicted[:, None]).double().mean(dim=0)


def accuracy_lower_bound(outputs: ModelOutputs, seed: int = 0, delta: float = DELTA) -> AccuracyBound | None:
    """Return the bound, or None with fewer than four rows of a domain.

    Half of the rows train the critics; the other half measure.
    """
    sizes = len(outputs.source_logits), len(outputs.target_logits)
    if min(sizes) < 4:
        return None
    random = np.random.default_rng(seed)
    source_train, source_test = np.array_split(random.permutation(sizes[0]), 2)
    target_train, target_test = np.array_split(random.permutation(sizes[1]), 2)
    training = outputs.source_logits[source_train], outputs.target_logits[target_train]
    mean, deviation = np.concatenate(training).mean(axis=0), np.maximum(np.concatenate(training).std(axis=0), 1e-6)

    def rows(logits: Float32Array) -> DomainRows:
        inputs = np.pad((logits - mean) / deviation, ((0, 0), (0, 1)), constant_values=1).astype(np.float32)
        return DomainRows(torch.from_numpy(inputs), torch.from_numpy(logits.argmax(axis=1)))

    test = rows(outputs.source_logits[source_test]), rows(outputs.target_logits[target_test])
    network = torch.from_numpy(np.vstack([np.diag(deviation), mean]) / deviation.mean()).float()
    critics = _initial_critics(network, torch.Generator().manual_seed(seed))
    discrepancy = _largest_discrepancy(critics, (rows(training[0]), rows(training[1])), test)
    error = float((test[0].predicted.numpy() != outputs.source_labels[source_test]).mean())
    sampling = sampling_error(len(source_test), len(target_test), delta)
    return AccuracyBound(max(0.0, 1 - error - discrepancy - sampling), 1 - delta, error, discrepancy, sampling)


def sampling_error(source_rows: int, target_rows: int, delta: float) -> float:
    """Return the deviation of the measured sum that chance exceeds with probability delta at most."""
    return sqrt((source_rows + 4 * target_rows) * log(1 / delta) / (2 * source_rows * target_rows))


def agreement_loss(logits: Tensor, predicted: Tensor) -> Tensor:
    """Return mean -log softmax(z)_y / log(classes) over logits z (n, r, classes) and the network's classes y (n,)."""
    restarts, classes = logits.shape[1:]
    return F.cross_entropy(logits.flatten(0, 1), predicted.repeat_interleave(restarts)) / log(classes)


def disagreement_loss(logits: Tensor, predicted: Tensor) -> Tensor:
    """Return mean log(1 + exp(z_y - mean of the other z)) / log 2, for shapes as in `agreement_loss`."""
    own = logits.gather(2, predicted[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
    others = (logits.sum(dim=2) - own) / (logits.shape[2] - 1)
    return F.softplus(own - others).mean() / log(2)


def _largest_discrepancy(critics: Tensor, training: tuple[DomainRows, DomainRows], test: tuple[DomainRows, DomainRows]) -> float:
    """Return disagreement_T - disagreement_S on the test rows for the critic that is best on the training rows.

    The result is at least zero because the network itself is a critic.
    """
    source, target = training
    optimizer = torch.optim.Adam([critics], CRITIC_LEARNING_RATE)
    best, discrepancy, count = 0.0, 0.0, source.critic_logits(critics).shape[1]
    for step in range(1, CRITIC_STEPS + 1):
        agreement = agreement_loss(source.critic_logits(critics), source.predicted)
        loss = count * (agreement + disagreement_loss(target.critic_logits(critics), target.predicted))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % EVALUATION_INTERVAL == 0:
            on_training, on_test = (_discrepancies(critics, *rows) for rows in (training, test))
            if float(on_training.max()) > best:
                best, discrepancy = float(on_training.max()), float(on_test[on_training.argmax()])
    return max(0.0, discrepancy)


@torch.no_grad()
def _discrepancies(critics: Tensor, source: DomainRows, target: DomainRows) -> Tensor:
    return target.disagreement(critics) - source.disagreement(critics)


def _initial_critics(network: Tensor, generator: torch.Generator) -> Tensor:
    """Return untrained critics (classes + 1, r classes): the network itself (classes + 1, classes), then random ones."""
    inputs, classes = network.shape
    count = max(1, min(RESTARTS, MAX_CRITIC_OUTPUTS // classes))
    others = 2 * torch.rand(inputs, (count - 1) * classes, generator=generator) - 1
    return torch.cat([network, others * inputs**-0.5], dim=1).requires_grad_()
