"""Whether adaptation helped: an adapted network against the source-only one of the same job, without labels of the target.

`no` when the adapted network gave up more than SOURCE_LOST of its accuracy on the source, or says fewer classes than the plain
one while most validators do not prefer it; when the class shares that the plain network finds leave it less accuracy than the
plain one is estimated to have; or when its estimate is lower and most validators are against it.

`yes` when its estimate is higher, most validators prefer it, and both networks see about the same class shares.

Everything else is `unsure`: a wrong `yes` costs more than an honest doubt.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker import validators
from worker.estimates.accuracy import estimate
from worker.estimates.parts import parts, thresholded_confidence, within_priors
from worker.estimates.priors import total_variation
from worker.estimates.study import Study

Answer = Literal["yes", "no", "unsure"]

MARGIN = 0.02
SOURCE_LOST = 0.10
SHORT_OF_ROOM = 0.05
MOST = 2 / 3
"""Of the validators that see a difference, how many must point the same way."""
KNOWN = 0.5
"""V-measure of the plain network's predictions and the clusters of its features from which its class priors are believed."""
APART = 0.20
"""Total variation of the two networks' class priors from which a gain is not believed."""
VALIDATORS = ("information_maximisation", "nuclear_norm", "entropy", "v_measure", "class_ami", "dev")
"""Of different families; the accuracy on the source is judged by itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and what it rests on.

    `gain`: estimated accuracy of the adapted network less that of the plain one. `room`: the same with the
    adapted one held to the plain one's class priors, 0 if those are not to be believed. `in_favour`: share of the validators.
    `priors_apart`: total variation.
    """

    helped: Answer
    gain: float
    room: float
    in_favour: float
    source_lost: float
    priors_apart: float
    classes_lost: int


def judge(adapted: Study, plain: Study) -> Verdict:
    """Both asked about the same rows."""
    found = Verdict(
        "unsure",
        gain=estimate(parts(adapted, plain)).value - estimate(parts(plain, adapted)).value,
        room=within_priors(adapted, plain) - thresholded_confidence(plain) if _knows_the_target(plain) else 0.0,
        in_favour=_in_favour(adapted, plain),
        source_lost=float(plain.right.mean() - adapted.right.mean()),
        priors_apart=total_variation(adapted.priors.target, plain.priors.target),
        classes_lost=plain.said_classes - adapted.said_classes,
    )
    return replace(found, helped=answer(found))


def answer(found: Verdict) -> Answer:
    """What the evidence says, see the module."""
    if found.source_lost > SOURCE_LOST or (found.classes_lost > 0 and found.in_favour < MOST):
        return "no"
    if found.room < -SHORT_OF_ROOM or (found.gain < -MARGIN and found.in_favour <= 1 - MOST):
        return "no"
    if found.gain > MARGIN and found.in_favour >= MOST and found.priors_apart < APART:
        return "yes"
    return "unsure"


def _knows_the_target(plain: Study) -> bool:
    """Not one that has collapsed, or whose predictions its own features contradict: confident and wrong, it finds any priors."""
    return not plain.has_collapsed and validators.load("v_measure")(plain.evidence) >= KNOWN


def _in_favour(adapted: Study, plain: Study) -> float:
    """Share of the validators that score the adapted network higher; half where none sees a difference."""
    differences = [validators.load(name)(adapted.evidence) - validators.load(name)(plain.evidence) for name in VALIDATORS]
    seen = [difference > 0 for difference in differences if abs(difference) > 1e-6]
    return sum(seen) / len(seen) if seen else 0.5
