"""What the user of a version ought to know before trusting it, each with its figures."""

from collections.abc import Iterator, Sequence

import numpy as np

from app.schemas.trainer_messages import JobWarning
from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.open_set import missing_classes, unknown_class_rate
from worker.estimates.transfer_rules import THRESHOLDS
from worker.estimates.transfer_verdict import TransferVerdict

FEW_HELD_OUT = 30
FEW_ROWS = 100
FEW_ROWS_OF_A_CLASS = 10
DEAD, WINNING = 0.55, 0.95
"""Mean domain accuracy: below the one the discriminator tells nothing apart, above the other it is never fooled."""
IF_SHIFTED = "Alignment may then confuse classes, and estimates are less sure."
AS_SEEN_BY_SOURCE_ONLY = (
    "So says the source-only network; the adapted one does not see it, for it errs less, or it carries the source's shares over."
)
EARLY = 0.25
"""The part of a run in which a discriminator has not learned yet, or features not adapted."""


def model_warnings(
    network: CalibratedOutputs,
    classes: Sequence[str],
    *,
    target_rows: int,
    baseline: CalibratedOutputs | None = None,
    verdict: TransferVerdict | None = None,
    domain_accuracy: Sequence[float] = (),
) -> list[JobWarning]:
    """All that apply.

    `target_rows` is how many there were to adapt to; `plain` and `verdict` compare with the source-only network;
    `domain_accuracy` is the discriminator's curve over the run, 0 to 1, empty without a discriminator.
    """
    return [
        *_of_the_rows(len(network.source_probabilities), target_rows, len(classes)),
        *_of_the_classes(network, baseline, classes),
        *_of_the_discriminator(domain_accuracy),
        *(_of_the_verdict(verdict) if verdict else ()),
    ]


def _of_the_rows(held_out: int, rows: int, classes: int) -> Iterator[JobWarning]:
    if held_out < FEW_HELD_OUT:
        yield JobWarning(
            code="little_source_data",
            message=f"Only {held_out} labelled source examples are held out: what is measured on so few is mostly chance.",
        )
    if rows < max(FEW_ROWS, FEW_ROWS_OF_A_CLASS * classes):
        yield JobWarning(
            code="little_target_data",
            message=f"There are only {rows} target examples for {classes} classes; adaptation wants hundreds.",
        )


def _of_the_classes(network: CalibratedOutputs, plain: CalibratedOutputs | None, classes: Sequence[str]) -> Iterator[JobWarning]:
    seen = plain or network
    if network.priors.shifted:
        yield JobWarning(code="class_prior_shift", message=f"{_shift(network, classes)} {IF_SHIFTED}")
    elif seen.priors.shifted:
        yield JobWarning(code="class_prior_shift", message=f"{_shift(seen, classes)} {AS_SEEN_BY_SOURCE_ONLY} {IF_SHIFTED}")
    if network.has_collapsed:
        yield JobWarning(
            code="collapsed_predictions",
            message=f"Only {network.predicted_class_count} of {len(classes)} classes are predicted for more than "
            f"{network.min_class_proportion:.1%} of the target.",
        )
    else:
        missing = set(missing_classes(network.priors)) & set(missing_classes(seen.priors))
        if missing:
            names = ", ".join(classes[number] for number in sorted(missing))
            yield JobWarning(code="missing_classes", message=f"The target seems to have hardly any examples of {names}.")
    strange = unknown_class_rate(network)
    if strange.is_suspicious:
        yield JobWarning(
            code="unknown_classes",
            message=f"{_percent(strange.target)} of the target examples ({_percent(strange.source)} of the source) look like "
            "none of the classes: the target may have classes that the source lacks, or differ more than the network can bridge.",
        )


def _shift(network: CalibratedOutputs, classes: Sequence[str]) -> str:
    return (
        f"The classes' shares seem to differ from the source's (total variation {_percent(network.priors.distance)}): "
        f"{_largest_changes(network, classes)}."
    )


def _largest_changes(network: CalibratedOutputs, classes: Sequence[str]) -> str:
    """The three classes whose shares change most."""
    source, target = network.priors.source, network.priors.target
    most = np.argsort(-np.abs(target - source))[:3]
    return ", ".join(f"{classes[number]} {_percent(source[number])} to {_percent(target[number])}" for number in most)


def _of_the_discriminator(curve: Sequence[float]) -> Iterator[JobWarning]:
    late = np.asarray(curve)[int(len(curve) * EARLY) :]
    if not len(late):
        return
    mean = float(late.mean())
    if max(curve) < DEAD:
        yield JobWarning(
            code="discriminator_at_chance",
            message=f"The discriminator never told the domains apart ({_percent(max(curve))} right at best, half is chance): "
            "nothing was aligned.",
        )
    elif mean > WINNING:
        yield JobWarning(
            code="discriminator_separates_domains",
            message=f"The discriminator told the domains apart to the end ({_percent(mean)} right): they were not aligned.",
        )


def _of_the_verdict(verdict: TransferVerdict) -> Iterator[JobWarning]:
    if harm := verdict.fired_with("no"):
        yield JobWarning(
            code="negative_transfer",
            message=f"Adaptation seems to have hurt: {'; '.join(map(str, harm))}. "
            "Expect at most the accuracy of the source-only model; try another algorithm, or more target data.",
        )
    in_favour = verdict.evidence.validators_in_favour
    if 1 - THRESHOLDS.validator_majority < in_favour < THRESHOLDS.validator_majority:
        yield JobWarning(
            code="validators_disagree",
            message=f"{_percent(in_favour)} of the validators prefer the adapted network, the others source-only.",
        )


def _percent(share: float) -> str:
    return f"{share:.0%}"
