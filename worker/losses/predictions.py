"""Losses of class logits (n, classes) and their softmax."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.losses.features import singular_values
from worker.losses.precision import in_float32


def entropies(logits: Tensor) -> Tensor:
    """Compute the entropy H(p) (n,) in nats of the softmax of each row."""
    return _entropy(logits.log_softmax(1))


def _entropy(logs: Tensor) -> Tensor:
    """Compute the entropy from log probabilities (last axis): its gradient is finite where a probability underflows."""
    return -(logs.exp() * logs).sum(-1)


def entropy_weights(logits: Tensor) -> Tensor:
    """Compute the weights 1 + exp(-H(p)) (n,) of each row, scaled to mean 1, without a gradient."""
    weights = 1 + torch.exp(-entropies(logits.detach()))
    return weights / weights.mean()


@in_float32
def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Compute (sum M - tr M) / K, with M = p^T diag(w) p normalised to rows that sum to 1. Jin et al., 2020.

    p is the softmax at the temperature, w its entropy weights.
    """
    softened = logits / temperature
    probabilities = softened.softmax(1)
    confusion = probabilities.T @ (probabilities * entropy_weights(softened).unsqueeze(1))
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / logits.shape[1]


@in_float32
def nuclear_norm(logits: Tensor) -> Tensor:
    """Compute the sum of the singular values of the softmax (n, classes) over n. It is high for confident and diverse rows.

    Cui et al., 2020.
    """
    return singular_values(logits.softmax(1)).sum() / len(logits)


def information_maximisation(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean entropy E H(p) and log K - H(E p). Both are small if rows are confident and diverse.

    Liang et al., 2020.
    """
    logs = logits.log_softmax(1)
    mean = logs.logsumexp(0) - math.log(len(logs))
    return _entropy(logs).mean(), math.log(logits.shape[1]) - _entropy(mean)


def classifier_discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Compute the mean |p - q| over examples and classes, for the softmax of two classifiers. Saito et al., 2018."""
    return (one.softmax(1) - other.softmax(1)).abs().mean()


@in_float32
def margin_disparity(source: Tensor, target: Tensor, source_labels: Tensor, target_labels: Tensor, margin: float) -> Tensor:
    """Compute the loss of the auxiliary classifier: -margin E_s log q_y - E_t log(1 - q_y), q the softmax of its logits.

    y are the main classifier's labels (n,) and (m,). Zhang et al., 2019.
    """
    others = target.scatter(1, target_labels.unsqueeze(1), -math.inf)
    disagreement = target.logsumexp(1) - others.logsumexp(1)
    return margin * F.cross_entropy(source, source_labels) + disagreement.mean()


def confident_cross_entropy(logits: Tensor, pseudo_label_logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy with confident pseudo-labels, over all n rows, and the fraction of confident rows.

    A pseudo-label is confident if its probability reaches the threshold. It takes no gradient. Sohn et al., 2020.
    """
    confidence, labels = pseudo_label_logits.detach().softmax(1).max(1)
    is_confident = (confidence >= threshold).float()
    return (F.cross_entropy(logits, labels, reduction="none") * is_confident).mean(), is_confident.mean()


@in_float32
def label_costs(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy (n, m) of each of the logits (m, classes) with each of the labels (n,)."""
    return -logits.log_softmax(1).T[labels]


@in_float32
def class_centroids(features: Tensor, probabilities: Tensor) -> Tensor:
    """Compute unit-length centroids (classes, d) of unit-length rows (n, d), weighted by probabilities (n, classes)."""
    return F.normalize(probabilities.T @ F.normalize(features, dim=1), dim=1)


@in_float32
def nearest_centroid(features: Tensor, centroids: Tensor) -> Tensor:
    """Return the class (n,) whose unit-length centroid (classes, d) has the largest cosine with each row (n, d)."""
    return (F.normalize(features, dim=1) @ centroids.T).argmax(1)
