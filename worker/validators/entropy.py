"""Negative entropy of the target predictions."""

from scipy.stats import entropy

from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return -mean_i H(p_i) over the target's predictions p (m, classes), in nats: -log(classes) to 0."""
    return -float(entropy(outputs.target_probabilities, axis=1).mean())
