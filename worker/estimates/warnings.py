"""Warnings about a version, each with its figures and a suggested action."""

from collections.abc import Iterator, Sequence

import numpy as np

from app.schemas.trainer_messages import JobWarning
from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.candidate_judgement import CandidateJudgement
from worker.estimates.open_set import missing_classes, unknown_class_rate

MIN_HELD_OUT_ROWS = 30
MIN_ADAPTATION_ROWS = 100
MIN_ADAPTATION_ROWS_PER_CLASS = 10
MAX_LISTED_CLASSES = 10
AT_CHANCE_ACCURACY, SEPARATING_ACCURACY = 0.55, 0.95
"""Domain accuracy below which the discriminator is at chance, and mean accuracy above which it is never fooled."""
WARMUP_FRACTION = 0.25
"""Start of a run, in which the discriminator has not learned and the features have not adapted yet."""
GUIDE = "See the guide `How far can I trust this number?`."
IF_SHIFTED = (
    "Either the target has other class proportions, or the model confuses classes there; only labels decide. In the first case, "
    "alignment may confuse more classes: compare `self_training`."
)
BASED_ON_SOURCE_ONLY = "This is based on the source-only model; the adapted model does not show it."


def model_warnings(
    network: CalibratedOutputs,
    classes: Sequence[str],
    *,
    target_rows: int,
    baseline: CalibratedOutputs | None = None,
    judgement: CandidateJudgement | None = None,
    domain_accuracy: Sequence[float] = (),
) -> list[JobWarning]:
    """Return all warnings that apply.

    `target_rows` is the number of rows to adapt to. `baseline` and `judgement` compare with the source-only network.
    `domain_accuracy` is the discriminator's accuracy over the run (0 to 1), empty without a discriminator.
    """
    return [
        *_row_warnings(len(network.source_probabilities), target_rows, len(classes)),
        *_prior_warnings(network, baseline, classes),
        *_class_warnings(network, baseline, classes),
        *_discriminator_warnings(domain_accuracy),
        *(_judgement_warnings(judgement) if judgement else ()),
    ]


def _row_warnings(held_out: int, rows: int, classes: int) -> Iterator[JobWarning]:
    if held_out < MIN_HELD_OUT_ROWS:
        yield JobWarning(
            code="little_source_data",
            message=f"Only {held_out} labelled source examples are held out, so source metrics and calibration are mostly "
            f"chance. Add labelled source examples until at least {MIN_HELD_OUT_ROWS} are held out.",
        )
    min_rows = max(MIN_ADAPTATION_ROWS, MIN_ADAPTATION_ROWS_PER_CLASS * classes)
    if rows < min_rows:
        yield JobWarning(
            code="little_target_data",
            message=f"There are only {rows} target examples for {classes} classes, so adaptation may be unstable. "
            f"Add unlabelled target examples; at least {min_rows} are recommended.",
        )


def _prior_warnings(
    network: CalibratedOutputs, baseline: CalibratedOutputs | None, classes: Sequence[str]
) -> Iterator[JobWarning]:
    if network.priors.shifted:
        yield JobWarning(code="class_prior_shift", message=f"{_describe_shift(network, classes)} {IF_SHIFTED}")
    elif baseline and baseline.priors.shifted:
        message = f"{_describe_shift(baseline, classes)} {BASED_ON_SOURCE_ONLY} {IF_SHIFTED}"
        yield JobWarning(code="class_prior_shift", message=message)


def _class_warnings(
    network: CalibratedOutputs, baseline: CalibratedOutputs | None, classes: Sequence[str]
) -> Iterator[JobWarning]:
    if network.has_collapsed:
        yield JobWarning(
            code="collapsed_predictions",
            message=f"Only {network.predicted_class_count} of {len(classes)} classes are predicted for more than "
            f"{network.min_class_proportion:.1%} of the target. If the target has more classes, try another algorithm.",
        )
    elif missing := set(missing_classes(network.priors)) & set(missing_classes((baseline or network).priors)):
        names = _listed([classes[number] for number in sorted(missing)])
        yield JobWarning(
            code="missing_classes",
            message=f"Hardly any target example is predicted as {names}. Either the target has few of them, or the model no "
            "longer recognises them. If they should occur, look at some target examples of these classes.",
        )
    unknown = unknown_class_rate(network)
    if unknown.is_suspicious:
        yield JobWarning(
            code="unknown_classes",
            message=f"{_percent(unknown.target)} of the target examples ({_percent(unknown.source)} of the source) look like "
            "none of the classes. Predictions for them are not reliable. Check the target for classes that the source lacks, or "
            "add source examples that are closer to the target.",
        )


def _describe_shift(network: CalibratedOutputs, classes: Sequence[str]) -> str:
    return (
        "The estimated class proportions of the target differ from the source's (total variation "
        f"{_percent(network.priors.distance)}): {_largest_changes(network, classes)}."
    )


def _largest_changes(network: CalibratedOutputs, classes: Sequence[str]) -> str:
    """Return the three classes whose proportions change most, with their 90 % intervals."""
    priors = network.priors
    low, high = np.minimum(priors.low, priors.target), np.maximum(priors.high, priors.target)
    largest = np.argsort(-np.abs(priors.target - priors.source))[:3]
    return ", ".join(
        f"{classes[number]} {_percent(priors.source[number])} to {_percent(priors.target[number])} "
        f"({_percent(low[number])} to {_percent(high[number])})"
        for number in largest
    )


def _discriminator_warnings(curve: Sequence[float]) -> Iterator[JobWarning]:
    after_warmup = np.asarray(curve)[int(len(curve) * WARMUP_FRACTION) :]
    if not len(after_warmup):
        return
    mean = float(after_warmup.mean())
    if max(curve) < AT_CHANCE_ACCURACY:
        yield JobWarning(
            code="discriminator_at_chance",
            message=f"The domain discriminator never exceeded an accuracy of {_percent(max(curve))} (chance is 50%), so the "
            "domains were not aligned by it. Train for more steps, or check that source and target differ.",
        )
    elif mean > SEPARATING_ACCURACY:
        yield JobWarning(
            code="discriminator_separates_domains",
            message=f"The domain discriminator still separated the domains ({_percent(mean)} accuracy), so they were not "
            "aligned. Train for more steps, or try another algorithm.",
        )


def _judgement_warnings(judgement: CandidateJudgement) -> Iterator[JobWarning]:
    expected = f"an expected gain of {100 * judgement.expected_gain:+.1f} points"
    if judgement.helped == "no" and judgement.expected_gain < 0:
        yield JobWarning(
            code="negative_transfer",
            message=f"Adaptation seems to have hurt: {expected}, and a loss of more than one point with a probability of "
            f"{_percent(judgement.probability_of_loss)}. Try another algorithm or `auto`, or add target data. {GUIDE}",
        )
    elif judgement.helped == "unsure":
        yield JobWarning(
            code="gain_uncertain",
            message=f"Labels are needed to decide whether adaptation helped: {expected}, a gain of more than one point with a "
            f"probability of {_percent(judgement.probability_of_gain)}, a loss with {_percent(judgement.probability_of_loss)}. "
            f"Label about 30 target rows on which both models disagree, or attach an `evaluation` dataset. {GUIDE}",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED_CLASSES} more classes" if len(names) > MAX_LISTED_CLASSES else ""
    return ", ".join(names[:MAX_LISTED_CLASSES]) + more


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}"
