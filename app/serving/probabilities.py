"""Class probabilities from logits. The server and the worker share this module."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldError, InvalidInputs

Float = TypeVar("Float", np.float32, np.float64)


def softmax(logits: NDArray[Float], axis: int = 1) -> NDArray[Float]:
    """Return probabilities of the same shape and precision that sum to 1 along the axis of the classes."""
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    probabilities: NDArray[Float] = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return probabilities


def class_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return class probabilities (n, classes). Raise InvalidInputs for rows without finite logits."""
    with np.errstate(invalid="ignore"):
        probabilities = softmax(logits.astype(np.float64))
    bad = np.flatnonzero(np.isnan(probabilities).any(axis=1))
    if len(bad):
        errors = [FieldError(f"/inputs/{row}", "its values are too large for this model") for row in bad]
        raise InvalidInputs("The model returns no finite result for some of the inputs. Send smaller values.", errors)
    return probabilities
