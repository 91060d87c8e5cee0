"""Certainty of the predictions on the target."""

from scipy.stats import entropy

from worker.evaluation.outputs import ModelOutputs


def score(evidence: ModelOutputs) -> float:
    """- mean_i H(p_i) over the target's predictions p (m, classes), in nats: -log(classes) to 0."""
    return -float(entropy(evidence.target_probabilities, axis=1).mean())
