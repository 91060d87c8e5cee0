"""Rules that decide, without target labels, whether adaptation helped.

Every rule compares the adapted network with the source-only network of the same job. A rule fires if all its conditions hold.

* A rule with effect `no` is evidence of harm.
* A rule with effect `unsure` is evidence that a gain is not proven.
* A rule with effect `source_only` makes a search (`auto`) register the source-only network.

`helped` is `no` if a `no` rule fires, otherwise `unsure` if an `unsure` rule fires, otherwise `yes`. A wrong `yes` costs more
than an `unsure`, so every doubt counts. `docs/methods/transfer-verdict.md` lists the rules; a test keeps both equal.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import Literal

Comparison = Literal["<", "<=", ">", ">=", "=="]
Effect = Literal["no", "unsure", "source_only"]
Judgement = Literal["yes", "no", "unsure"]

COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
BENCHMARK = "benchmarks/adaptation"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All thresholds of the verdict. They were chosen on the networks of `benchmarks/adaptation`."""

    gain: float = 0.02
    """Smallest difference of the estimated accuracies that counts."""
    validator_majority: float = 2 / 3
    """Fraction of the validators that must agree, of those that score the networks differently."""
    source_accuracy_drop: float = 0.10
    """Tolerated loss of source accuracy, or two standard errors if these are larger: one row of nine proves nothing."""
    classes_lost: float = 0.05
    """Fraction of the classes that may disappear by chance, which matters for hundreds of classes."""
    label_shift_headroom: float = -0.05
    min_baseline_accuracy: float = 0.7
    """Estimated accuracy of the source-only network that its class priors need to be trusted."""
    min_cluster_agreement: float = 0.7
    """V-measure between the source-only network's predictions and clusters of its features, needed for the same trust.
    With 0.5, drifted tables lost twice as many gains and avoided no additional loss."""
    unexplained_label_shift: float = 0.10
    """Distance of the class priors from the source's that must remain after the source-only network's own errors."""
    trusted_label_shift_reverted: float = 0.05
    label_shift_reverted: float = 0.10
    class_prior_distance: float = 0.20
    disagreements: int = 30
    """With fewer rows, chance gives one network two thirds of them in one of twenty cases."""
    disagreement_fraction: float = 0.15
    """Fraction of a small target that suffices instead. All six benchmark networks with as many gained 7 to 45 points."""
    harmless_disagreement_fraction: float = 0.015
    """Fraction of the target rows that costs at most 1.5 points if the wrong network is chosen."""
    reverse_validation_ratio: float = 0.75
    """Networks trained to the end reach 0.76 or more on all benchmark tasks except amazon to webcam (0.44 to 0.66), where most
    are right on a fifth of the target."""
    reverse_validation_gain: float = 0.10
    """Advantage of the adapted network's student that outweighs lost source accuracy or a lower estimate."""


THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class TransferEvidence:
    """Measurements that the rules compare; `app.schemas.version_metrics.HelpedEvidence` documents each."""

    gain: float
    label_shift_headroom: float
    validators_in_favour: float
    source_accuracy_drop: float
    source_accuracy_drop_allowed: float
    class_prior_distance: float
    classes_lost: int
    label_shift_reverted: float
    label_shift_trusted: bool
    disagreements: int
    rows: int
    reverse_validation_ratio: float
    reverse_validation_gain: float

    @property
    def min_disagreements(self) -> float:
        """Number of disagreements that suffices to compare the networks."""
        return min(THRESHOLDS.disagreements, THRESHOLDS.disagreement_fraction * self.rows)

    @property
    def max_harmless_disagreements(self) -> float:
        """Number of disagreements up to which either network is a safe choice."""
        return THRESHOLDS.harmless_disagreement_fraction * self.rows


@dataclass(frozen=True, slots=True)
class CheckedCondition:
    """A condition that holds, with the measured value."""

    measure: str
    value: float
    comparison: Comparison
    threshold: float

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.3g} {self.comparison} {self.threshold:.3g}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Comparison of a measurement of `TransferEvidence` with a number or with another measurement."""

    measure: str
    comparison: Comparison
    threshold: float | str

    def check(self, evidence: TransferEvidence, *, if_undefined: bool) -> CheckedCondition | None:
        """Return the checked condition if it holds; `if_undefined` decides for a value of NaN."""
        value = getattr(evidence, self.measure)
        threshold = getattr(evidence, self.threshold) if isinstance(self.threshold, str) else self.threshold
        holds = if_undefined if isnan(value) else COMPARE[self.comparison](value, threshold)
        return CheckedCondition(self.measure, value, self.comparison, threshold) if holds else None


@dataclass(frozen=True, slots=True)
class FiredRule:
    """A rule whose conditions hold, with the measured values."""

    name: str
    effect: Effect
    reason: str
    conditions: tuple[CheckedCondition, ...]

    def __str__(self) -> str:
        return f"{self.reason} ({', '.join(map(str, self.conditions))})"


@dataclass(frozen=True, slots=True)
class Rule:
    """A named reason; it fires if all conditions hold. `reason` completes a message to the user, `source` names its origin."""

    name: str
    effect: Effect
    conditions: tuple[Condition, ...]
    reason: str
    source: str

    def check(self, evidence: TransferEvidence) -> FiredRule | None:
        """Return the fired rule, or None. A value of NaN is never evidence of harm and always a doubt."""
        checked = [condition.check(evidence, if_undefined=self.effect != "no") for condition in self.conditions]
        conditions = tuple(condition for condition in checked if condition is not None)
        return FiredRule(self.name, self.effect, self.reason, conditions) if len(conditions) == len(checked) else None


STUDENT_NOT_BETTER = Condition("reverse_validation_gain", "<", THRESHOLDS.reverse_validation_gain)
"""An encoder that moves away from the source may fit the target better, which its student shows."""
NO_MAJORITY = Condition("validators_in_favour", "<", THRESHOLDS.validator_majority)

RULES = (
    Rule(
        "source_accuracy_lost",
        "no",
        (Condition("source_accuracy_drop", ">", "source_accuracy_drop_allowed"), STUDENT_NOT_BETTER),
        "the adapted network lost more source accuracy than chance explains",
        f"{BENCHMARK}; exception by reverse validation: Zhong et al., ECML PKDD 2010",
    ),
    Rule(
        "estimate_and_validators_worse",
        "no",
        (
            Condition("gain", "<", -THRESHOLDS.gain),
            Condition("validators_in_favour", "<=", 1 - THRESHOLDS.validator_majority),
            STUDENT_NOT_BETTER,
        ),
        "the adapted network has a lower estimated target accuracy and most validators reject it",
        f"{BENCHMARK}; exception by reverse validation: Zhong et al., ECML PKDD 2010",
    ),
    Rule(
        "classes_lost",
        "no",
        (Condition("classes_lost", ">", 0), NO_MAJORITY),
        "the adapted network predicts fewer classes and no clear majority of the validators prefers it",
        BENCHMARK,
    ),
    Rule(
        "label_shift_headroom_negative",
        "no",
        (Condition("label_shift_headroom", "<", THRESHOLDS.label_shift_headroom),),
        "with the class priors of the source-only network, the adapted network is estimated to be less accurate",
        "Garg et al., ICLR 2022 (ATC); class priors: Lipton et al., ICML 2018, and Saerens et al., Neural Computation 2002",
    ),
    Rule(
        "trusted_label_shift_reverted",
        "no",
        (
            Condition("label_shift_trusted", "==", True),
            Condition("label_shift_reverted", ">", THRESHOLDS.trusted_label_shift_reverted),
        ),
        "the target's class priors differ from the source's and the adapted network reverts to the source's",
        f"{BENCHMARK}; class priors: Lipton et al., ICML 2018, and Saerens et al., Neural Computation 2002",
    ),
    Rule(
        "gain_too_small",
        "unsure",
        (Condition("gain", "<=", THRESHOLDS.gain),),
        "the estimated target accuracies are too close",
        BENCHMARK,
    ),
    Rule(
        "validators_not_in_favour",
        "unsure",
        (NO_MAJORITY,),
        "no clear majority of the validators prefers the adapted network",
        "Musgrave et al., 2022, arXiv:2208.07360",
    ),
    Rule(
        "class_priors_differ",
        "unsure",
        (Condition("class_prior_distance", ">=", THRESHOLDS.class_prior_distance),),
        "the two networks find different class priors in the target",
        f"{BENCHMARK}; class priors: Lipton et al., ICML 2018",
    ),
    Rule(
        "too_few_disagreements",
        "unsure",
        (Condition("disagreements", "<", THRESHOLDS.disagreements),),
        "the networks disagree on too few target rows",
        "binomial test",
    ),
    Rule(
        "label_shift_reverted",
        "unsure",
        (Condition("label_shift_reverted", ">=", THRESHOLDS.label_shift_reverted),),
        "the adapted network may revert to the source's class priors",
        BENCHMARK,
    ),
    Rule(
        "networks_not_comparable",
        "source_only",
        (
            Condition("disagreements", "<", "min_disagreements"),
            Condition("disagreements", ">", "max_harmless_disagreements"),
        ),
        "the networks disagree on too few target rows to compare them, but on enough to lose accuracy",
        f"binomial test; {BENCHMARK}",
    ),
    Rule(
        "reverse_validation_failed",
        "source_only",
        (Condition("reverse_validation_ratio", "<", THRESHOLDS.reverse_validation_ratio),),
        "a student trained on the adapted network's target predictions fails on the source",
        "Zhong et al., ECML PKDD 2010; Ganin et al., JMLR 2016, section 5.1.2",
    ),
)


def fired_rules(evidence: TransferEvidence) -> tuple[FiredRule, ...]:
    """Return the rules whose conditions hold, in the order of `RULES`."""
    checked = (rule.check(evidence) for rule in RULES)
    return tuple(rule for rule in checked if rule is not None)
