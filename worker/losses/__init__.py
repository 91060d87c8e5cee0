"""Losses and measures: pure functions of tensors. Of domain classifiers, of features, of predictions."""

from worker.losses.domains import domain, domain_accuracy
from worker.losses.features import (
    assignment,
    coral,
    gaussian_kernel,
    largest_singular_values,
    mean_discrepancy,
    median_kernel,
    squared_distances,
    stepwise_norm,
)
from worker.losses.predictions import (
    certainties,
    class_centroids,
    class_confusion,
    class_costs,
    classifier_discrepancy,
    confident_cross_entropy,
    entropies,
    information_maximisation,
    margin_disparity,
    nearest_centroid,
    nuclear_norm,
)

__all__ = [
    "assignment",
    "certainties",
    "class_centroids",
    "class_confusion",
    "class_costs",
    "classifier_discrepancy",
    "confident_cross_entropy",
    "coral",
    "domain",
    "domain_accuracy",
    "entropies",
    "gaussian_kernel",
    "information_maximisation",
    "largest_singular_values",
    "margin_disparity",
    "mean_discrepancy",
    "median_kernel",
    "nearest_centroid",
    "nuclear_norm",
    "squared_distances",
    "stepwise_norm",
]
