"""MixVal. Hu et al., NeurIPS 2023, https://openreview.net/forum?id=ackajXqei2"""

from math import nan

from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Share of mixtures of two target inputs (p,) that are predicted as the input with the larger share is, 0 to 1.

    The mean of two shares: over pairs predicted as one class (density), and as two (the boundary). nan where inputs
    cannot be mixed or a kind of pair does not occur.
    """
    mixed = outputs.mixup
    if mixed is None:
        return nan
    predicted = outputs.target_logits.argmax(axis=1)
    first, second = predicted[mixed.first], predicted[mixed.second]
    kept = mixed.logits.argmax(axis=1) == (first if mixed.weight >= 0.5 else second)
    same = first == second
    return float((kept[same].mean() + kept[~same].mean()) / 2) if 0 < same.sum() < len(same) else nan
