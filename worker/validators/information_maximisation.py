"""Information maximisation.

Shi and Sha, ICML 2012, https://arxiv.org/abs/1206.6438
"""

from scipy.stats import entropy

from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return H(mean_i p_i) - mean_i H(p_i) over the target's predictions p (m, classes), in nats: 0 to log(classes)."""
    predictions = outputs.target_probabilities
    return float(entropy(predictions.mean(axis=0)) - entropy(predictions, axis=1).mean())
