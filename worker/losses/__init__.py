"""Losses and measures: pure functions of tensors. Of domain classifiers, of features, of predictions."""

from worker.losses.domains import domain_accuracy, domain_bce
from worker.losses.features import (
    coral,
    gaussian_kernel,
    largest_singular_values,
    mmd_squared,
    multi_bandwidth_gaussian_kernel,
    optimal_assignment,
    squared_distances,
    stepwise_norm,
)
from worker.losses.predictions import (
    class_centroids,
    class_confusion,
    classifier_discrepancy,
    confident_cross_entropy,
    entropies,
    entropy_weights,
    information_maximisation,
    label_costs,
    margin_disparity,
    nearest_centroid,
    nuclear_norm,
)

__all__ = [
    "class_centroids",
    "class_confusion",
    "classifier_discrepancy",
    "confident_cross_entropy",
    "coral",
    "domain_accuracy",
    "domain_bce",
    "entropies",
    "entropy_weights",
    "gaussian_kernel",
    "information_maximisation",
    "label_costs",
    "largest_singular_values",
    "margin_disparity",
    "mmd_squared",
    "multi_bandwidth_gaussian_kernel",
    "nearest_centroid",
    "nuclear_norm",
    "optimal_assignment",
    "squared_distances",
    "stepwise_norm",
]
