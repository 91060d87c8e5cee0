import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor

from worker.losses import predictions

Doubles = NDArray[np.float64]
RANDOM = np.random.default_rng(1)
LOGITS, OTHERS = RANDOM.normal(size=(11, 5)) * 2, RANDOM.normal(size=(8, 5)) * 2
LABELS, OTHER_LABELS = RANDOM.integers(0, 5, 11), RANDOM.integers(0, 5, 8)


def tensor(values: Doubles) -> Tensor:
    return torch.from_numpy(values)


def entropies(probabilities: Doubles) -> Doubles:
    return -(probabilities * np.log(probabilities)).sum(axis=1)  # type: ignore[no-any-return]


def entropy_weights(probabilities: Doubles) -> Doubles:
    weights = 1 + np.exp(-entropies(probabilities))
    return weights / weights.mean()  # type: ignore[no-any-return]


def test_entropies_are_in_nats_and_zero_for_certain_rows() -> None:
    np.testing.assert_allclose(predictions.entropies(tensor(LOGITS)).numpy(), entropies(softmax(LOGITS, axis=1)))
    assert predictions.entropies(torch.tensor([[0.0, 1e4]])).tolist() == [0.0]


def test_entropy_gradients_are_finite_where_the_softmax_underflows() -> None:
    logits = torch.tensor([[0.0, 300.0, -300.0], [0.0, 200.0, -300.0]], requires_grad=True)
    entropy, diversity = predictions.information_maximisation(logits)  # no row predicts the first or the third class
    (predictions.entropies(logits).sum() + entropy + diversity).backward()  # type: ignore[no-untyped-call]
    assert diversity.item() == pytest.approx(math.log(3))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_entropy_weights_have_mean_one_and_no_gradient() -> None:
    logits = tensor(LOGITS).requires_grad_()
    weights = predictions.entropy_weights(logits)
    assert not weights.requires_grad
    np.testing.assert_allclose(weights.numpy(), entropy_weights(softmax(LOGITS, axis=1)))


def test_class_confusion_sums_the_off_diagonal_class_correlations() -> None:
    probabilities = softmax(LOGITS / 2.5, axis=1)
    confusion = np.einsum("n,ni,nj->ij", entropy_weights(probabilities), probabilities, probabilities)
    confusion /= confusion.sum(axis=1, keepdims=True)
    expected = (confusion.sum() - np.trace(confusion)) / 5
    assert float(predictions.class_confusion(tensor(LOGITS), 2.5)) == pytest.approx(expected)


def test_nuclear_norm_is_the_singular_value_sum_per_row() -> None:
    expected = np.linalg.svd(softmax(LOGITS, axis=1), compute_uv=False).sum() / 11
    assert float(predictions.nuclear_norm(tensor(LOGITS))) == pytest.approx(expected)
    certain = 100 * torch.eye(4)
    assert float(predictions.nuclear_norm(certain)) == pytest.approx(1)


def test_information_maximisation_is_zero_for_certain_and_diverse_rows() -> None:
    entropy, diversity = predictions.information_maximisation(tensor(LOGITS))
    probabilities = softmax(LOGITS, axis=1)
    assert float(entropy) == pytest.approx(entropies(probabilities).mean())
    assert float(diversity) == pytest.approx(np.log(5) - entropies(probabilities.mean(axis=0, keepdims=True))[0])
    certain = predictions.information_maximisation(100 * torch.eye(4))
    assert [float(part) for part in certain] == pytest.approx([0, 0], abs=1e-6)


def test_classifier_discrepancy_is_the_mean_absolute_difference() -> None:
    expected = np.abs(softmax(LOGITS, axis=1) - softmax(LOGITS[::-1], axis=1)).mean()
    assert float(predictions.classifier_discrepancy(tensor(LOGITS), tensor(LOGITS[::-1].copy()))) == pytest.approx(expected)


def test_margin_disparity_combines_source_agreement_and_target_disagreement() -> None:
    agreement = -log_softmax(LOGITS, axis=1)[range(11), LABELS].mean()
    disagreement = -np.log(1 - softmax(OTHERS, axis=1)[range(8), OTHER_LABELS]).mean()
    loss = predictions.margin_disparity(
        tensor(LOGITS), tensor(OTHERS), torch.from_numpy(LABELS), torch.from_numpy(OTHER_LABELS), 4.0
    )
    assert float(loss) == pytest.approx(4 * agreement + disagreement)


def test_margin_disparity_is_finite_where_the_softmax_is_one() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = predictions.margin_disparity(torch.zeros(1, 3), logits, torch.tensor([0]), torch.tensor([0]), 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(200 - np.log(2) + np.log(3), rel=1e-5)
    assert logits.grad is not None
    assert logits.grad.tolist()[0] == pytest.approx([1, -0.5, -0.5])


def test_confident_cross_entropy_uses_only_confident_rows() -> None:
    pseudo_labels = softmax(OTHERS, axis=1)
    is_confident = pseudo_labels.max(axis=1) >= 0.6
    assert 0 < is_confident.sum() < 8
    losses = -log_softmax(LOGITS[:8], axis=1)[range(8), pseudo_labels.argmax(axis=1)]
    loss, fraction = predictions.confident_cross_entropy(tensor(LOGITS[:8]), tensor(OTHERS), 0.6)
    assert float(loss) == pytest.approx((losses * is_confident).sum() / 8)
    assert float(fraction) == pytest.approx(is_confident.mean())


def test_label_costs_are_the_cross_entropies_of_all_pairs() -> None:
    costs = predictions.label_costs(tensor(OTHERS), torch.from_numpy(LABELS))
    np.testing.assert_allclose(costs.numpy(), [[-log_softmax(row)[label] for row in OTHERS] for label in LABELS])


def test_class_centroids_are_weighted_means_and_nearest_is_found() -> None:
    features, probabilities = RANDOM.normal(size=(11, 3)), softmax(LOGITS, axis=1)
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = np.stack([(rows * probabilities[:, [number]]).sum(axis=0) for number in range(5)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    centroids = predictions.class_centroids(tensor(features), tensor(probabilities))
    np.testing.assert_allclose(centroids.numpy(), means)
    np.testing.assert_array_equal(
        predictions.nearest_centroid(tensor(features), centroids).numpy(), (rows @ means.T).argmax(axis=1)
    )
