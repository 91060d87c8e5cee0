"""Whether adaptation helped: an adapted network against the source-only one of the same job, without labels of the target.

`no` when the adapted network gave up more of its accuracy on the source than SOURCE_LOST and chance allow; when its estimate is
lower and most validators are against it; neither, if its pupil knows clearly more of the source than the plain one's: an encoder
that leaves the source behind may know the target. When it says fewer classes than the plain one while most validators do not
prefer it; when the class shares that the plain network finds leave it less accuracy than the plain one is estimated to have; or
when the plain network sees other class shares than the source's, further than its own errors explain, and the adapted one carries
them back.

`yes` when its estimate is higher, most validators prefer it, both networks see about the same class shares, and they differ on
so many rows that it can be told.

Everything else is `unsure`: a wrong `yes` costs more than an honest doubt.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker import validators
from worker.estimates.accuracy_estimate import estimate
from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.estimators import estimator_values, thresholded_confidence, within_priors
from worker.estimates.label_shift import total_variation
from worker.evaluation.statistics import binomial_standard_error

Judgement = Literal["yes", "no", "unsure"]

MARGIN = 0.02
SOURCE_LOST = 0.10
"""Accuracy on the source, or two standard errors where they are more: of nine rows one is no sign of harm."""
SHORT_OF_ROOM = 0.05
MOST = 2 / 3
"""Of the validators that see a difference, how many must point the same way."""
KNOWN = 0.7
"""Estimated accuracy of the plain network from which its class priors are believed."""
CLUSTERED = 0.7
"""And V-measure of its predictions and the clusters of its features: what its features contradict is not believed. Where columns
drift, a network errs to one side; with 0.5 its shares were believed against twice as many gains, and against no loss more."""
CARRIED_BACK, SUSPICIOUS = 0.05, 0.10
"""How much nearer to the source's, in total variation, the adapted network's class priors are than the plain one's: for a `no`
where these are believed, and for no `yes` in any case."""
BEYOND = 0.10
"""By how much the plain network's class priors lie further from the source's than its errors could explain, to be believed."""
DISPUTED = 30
"""Target rows on which the networks must differ: of fewer, chance alone gives one of them two thirds, one time in twenty."""
DISPUTED_SHARE = 0.15
"""Of the target rows, where these are fewer, for a search: all of six that differed on so much gained, by 7 to 45 points."""
HARMLESS = 0.015
"""Share of the target rows on which the networks may differ whoever is right: that many points can be lost, and hardly all."""
TAUGHT = 0.75
"""What of its knowledge of the source a network passes on to its pupil by labels that mean what they mean there. Of networks
trained to the end 0.76 and more on all tasks but one: from Amazon to webcam, where most know a fifth of the target, 0.44 to
0.66."""
TAUGHT_MORE = 0.10
"""By how much more of it than the plain one's its pupil knows, for what was lost on the source, or a lower estimate with the
validators, not to count as harm."""
LOST = 0.05
"""Of the classes: that many fewer are said by chance, where there are some hundreds of them and a sample of the target."""
APART = 0.20
"""Total variation of the two networks' class priors from which a gain is not believed."""
VALIDATORS = ("information_maximisation", "nuclear_norm", "entropy", "v_measure", "class_ami", "dev")
"""Of different families; the accuracy on the source is judged by itself."""


@dataclass(frozen=True, slots=True)
class TransferVerdict:
    """The answer and what it rests on.

    `gain`: estimated accuracy of the adapted network less that of the plain one. `label_shift_headroom`: the same with the
    adapted one held to the plain one's class priors, 0 if those are not to be believed. `validators_in_favour`: share of the validators.
    `class_prior_distance`: total variation. `classes_lost`: how many fewer are said, 0 where chance would do. `label_shift_reverted`: how much
    nearer to the source's class priors the adapted network's are than the plain one's, 0 unless those differ from the source's;
    `label_shift_trusted`: whether they are believed to. `disagreements`: target rows on which both differ. `reverse_validation_ratio`: accuracy on the source of
    the adapted network's pupil (`worker.reporting.reverse_validation`), as a share of its own, 1 without a pupil;
    `reverse_validation_gain`: less that of the
    plain one. `source_accuracy_drop_allowed`: how much of the accuracy on the source may be lost. `rows`: of the target, that both were asked
    about.
    """

    helped: Judgement
    gain: float
    label_shift_headroom: float
    validators_in_favour: float
    source_accuracy_drop: float
    class_prior_distance: float
    classes_lost: int
    label_shift_reverted: float = 0.0
    label_shift_trusted: bool = False
    disagreements: int = DISPUTED
    reverse_validation_ratio: float = 1.0
    reverse_validation_gain: float = 0.0
    source_accuracy_drop_allowed: float = SOURCE_LOST
    rows: int = 1000

    @property
    def min_disagreements(self) -> float:
        """Disputed target rows that it takes to tell."""
        return min(DISPUTED, DISPUTED_SHARE * self.rows)

    @property
    def supports_adapted(self) -> bool:
        """Whether there is reason to prefer the adapted network for those who ask for the best, whichever it is."""
        decided = self.disagreements >= self.min_disagreements or self.disagreements <= HARMLESS * self.rows
        return self.helped != "no" and decided and self.reverse_validation_ratio >= TAUGHT


def judge_transfer(adapted: CalibratedOutputs, plain: CalibratedOutputs) -> TransferVerdict:
    """Both asked about the same rows."""
    before = estimate(estimator_values(plain, adapted)).value
    knows = before >= KNOWN and not plain.has_collapsed and validators.load("v_measure")(plain.evidence) >= CLUSTERED
    found = TransferVerdict(
        "unsure",
        gain=estimate(estimator_values(adapted, plain)).value - before,
        label_shift_headroom=within_priors(adapted, plain) - thresholded_confidence(plain) if knows else 0.0,
        validators_in_favour=_in_favour(adapted, plain),
        source_accuracy_drop=float(plain.is_correct.mean() - adapted.is_correct.mean()),
        class_prior_distance=total_variation(adapted.priors.target, plain.priors.target),
        classes_lost=_classes_lost(adapted, plain),
        label_shift_reverted=max(0.0, plain.priors.distance - adapted.priors.distance) if plain.priors.shifted else 0.0,
        label_shift_trusted=knows and plain.priors.distance >= 1 - before + BEYOND,
        disagreements=int((adapted.predicted != plain.predicted).sum()),
        rows=len(plain.predicted),
        reverse_validation_ratio=_taught(adapted),
        reverse_validation_gain=_taught(adapted) - _taught(plain),
        source_accuracy_drop_allowed=max(
            SOURCE_LOST, 2 * binomial_standard_error(float(plain.is_correct.mean()), len(plain.is_correct))
        ),
    )
    return replace(found, helped=answer(found))


def answer(found: TransferVerdict) -> Judgement:
    """What the evidence says, see the module."""
    if found.reverse_validation_gain < TAUGHT_MORE and (
        found.source_accuracy_drop > found.source_accuracy_drop_allowed
        or (found.gain < -MARGIN and found.validators_in_favour <= 1 - MOST)
    ):
        return "no"
    if found.classes_lost > 0 and found.validators_in_favour < MOST:
        return "no"
    if found.label_shift_headroom < -SHORT_OF_ROOM or (found.label_shift_trusted and found.label_shift_reverted > CARRIED_BACK):
        return "no"
    clear = found.gain > MARGIN and found.validators_in_favour >= MOST and found.class_prior_distance < APART
    if clear and found.disagreements >= DISPUTED and found.label_shift_reverted < SUSPICIOUS:
        return "yes"
    return "unsure"


def _classes_lost(adapted: CalibratedOutputs, plain: CalibratedOutputs) -> int:
    lost = plain.predicted_class_count - adapted.predicted_class_count
    return lost if abs(lost) > LOST * len(plain.predicted_shares) else 0


def _taught(network: CalibratedOutputs) -> float:
    """Accuracy on the source of its pupil, as a share of its own; 1 without a pupil."""
    return network.reverse.accuracy / (float(network.is_correct.mean()) or 1.0) if network.reverse else 1.0


def _in_favour(adapted: CalibratedOutputs, plain: CalibratedOutputs) -> float:
    """Share of the validators that score the adapted network higher; half where none sees a difference."""
    differences = [validators.load(name)(adapted.evidence) - validators.load(name)(plain.evidence) for name in VALIDATORS]
    seen = [difference > 0 for difference in differences if abs(difference) > 1e-6]
    return sum(seen) / len(seen) if seen else 0.5
