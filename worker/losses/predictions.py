"""Losses of predictions: logits (n, classes) and what their softmax says."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.losses.features import singular_values
from worker.losses.precision import in_float32


def entropies(logits: Tensor) -> Tensor:
    """(n,): H(p) in nats of the softmax of each row."""
    return _entropy(logits.log_softmax(1))


def _entropy(logs: Tensor) -> Tensor:
    """Of log probabilities along the last axis: through them the gradient is finite where a probability underflows."""
    return -(logs.exp() * logs).sum(-1)


def entropy_weights(logits: Tensor) -> Tensor:
    """(n,): 1 + exp(-H(p)) of each row, scaled to mean 1, without a gradient: how much a confident example counts."""
    weights = 1 + torch.exp(-entropies(logits.detach()))
    return weights / weights.mean()


@in_float32
def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """(sum M - tr M) / K: M is p^T diag(w) p with rows that sum to 1, p the softmax at the temperature, w its certainties.

    Jin et al., 2020.
    """
    softened = logits / temperature
    shares = softened.softmax(1)
    confusion = shares.T @ (shares * entropy_weights(softened).unsqueeze(1))
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / logits.shape[1]


@in_float32
def nuclear_norm(logits: Tensor) -> Tensor:
    """The sum of the singular values of the softmax (n, classes), over n: high for confident and diverse rows.

    Cui et al., 2020.
    """
    return singular_values(logits.softmax(1)).sum() / len(logits)


def information_maximisation(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean entropy of the rows, and log K less the entropy of their mean: both small when rows are confident and diverse.

    Liang et al., 2020.
    """
    logs = logits.log_softmax(1)
    mean = logs.logsumexp(0) - math.log(len(logs))
    return _entropy(logs).mean(), math.log(logits.shape[1]) - _entropy(mean)


def classifier_discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Mean |p - q| over examples and classes of the softmax of two classifiers' logits. Saito et al., 2018."""
    return (one.softmax(1) - other.softmax(1)).abs().mean()


@in_float32
def margin_disparity(source: Tensor, target: Tensor, source_labels: Tensor, target_labels: Tensor, margin: float) -> Tensor:
    """What the auxiliary classifier minimises: -margin E_s log q_y - E_t log(1 - q_y), q the softmax of its logits.

    y are the main classifier's labels (n,) and (m,). Zhang et al., 2019.
    """
    others = target.scatter(1, target_labels.unsqueeze(1), -math.inf)
    denied = target.logsumexp(1) - others.logsumexp(1)
    return margin * F.cross_entropy(source, source_labels) + denied.mean()


def confident_cross_entropy(logits: Tensor, guide: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy with the guide's own labels, summed over rows where it is sure, over n; and the share of these rows.

    Sure is a softmax of at least the threshold; the guide takes no gradient. Sohn et al., 2020.
    """
    confidence, labels = guide.detach().softmax(1).max(1)
    sure = (confidence >= threshold).float()
    return (F.cross_entropy(logits, labels, reduction="none") * sure).mean(), sure.mean()


@in_float32
def label_costs(logits: Tensor, labels: Tensor) -> Tensor:
    """(n, m): the cross-entropy of each of the logits (m, classes) with each of the labels (n,)."""
    return -logits.log_softmax(1).T[labels]


@in_float32
def class_centroids(features: Tensor, shares: Tensor) -> Tensor:
    """(classes, d): means of the rows (n, d) of length one, weighted by each class's shares (n, classes), of length one again."""
    return F.normalize(shares.T @ F.normalize(features, dim=1), dim=1)


@in_float32
def nearest_centroid(features: Tensor, centroids: Tensor) -> Tensor:
    """(n,): the class whose centroid (classes, d), of length one, has the largest cosine with each row (n, d)."""
    return (F.normalize(features, dim=1) @ centroids.T).argmax(1)
