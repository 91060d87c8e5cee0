"""MixVal.

Hu et al., NeurIPS 2023, https://openreview.net/forum?id=ackajXqei2
"""

from math import nan

from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return the fraction of mixtures of two target inputs (p,) predicted as the input with the larger weight, 0 to 1.

    It is the mean over pairs of one predicted class (density) and pairs of two (boundary). NaN if inputs cannot be mixed or a
    kind of pair does not occur.
    """
    mixup = outputs.mixup
    if mixup is None:
        return nan
    predicted = outputs.target_logits.argmax(axis=1)
    first, second = predicted[mixup.first], predicted[mixup.second]
    consistent = mixup.logits.argmax(axis=1) == (first if mixup.weight >= 0.5 else second)
    same = first == second
    return float((consistent[same].mean() + consistent[~same].mean()) / 2) if 0 < same.sum() < len(same) else nan
