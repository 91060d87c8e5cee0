"""Keys of a version's `metrics`. `worker.reporting.report` writes them and omits keys that do not apply."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2, description="Lower and upper end of the 90 % interval.")]


class ClassMetrics(TypedDict):
    """Labelled examples of a class and the number of correct predictions among them."""

    examples: int
    correct: int
    recall: Fraction | None
    precision: Fraction | None


class CalibrationReport(TypedDict):
    """Temperature in the graph (Guo et al., ICML 2017) and expected calibration error on the held-out source.

    `error_after` is cross-fitted: each half of the rows uses the temperature of the other half. It is noisy for a few dozen rows.
    """

    temperature: float
    error_before: Fraction
    error_after: Fraction


@with_config(ConfigDict(extra="allow"))
class EstimateReport(TypedDict, total=False):
    """Estimated target accuracy with its 90 % interval.

    `estimators` holds the values that the estimate combines. `error` is estimate minus measured accuracy; it needs an evaluation
    dataset.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    confidence: float
    estimators: dict[str, float | None]
    error: float


class LowerBoundReport(TypedDict):
    """Lower bound of an accuracy and its confidence level."""

    value: Fraction
    confidence: float


class ClassPriorReport(TypedDict):
    """Proportion of a class in the held-out source, and the estimate for the target with its interval."""

    source: Fraction
    target: Fraction
    low: Fraction
    high: Fraction


class ClassPriorsReport(TypedDict):
    """Class priors by class name. `shifted` means label shift was detected; `distance` is the total variation."""

    shifted: bool
    distance: Fraction
    confidence: float
    classes: dict[str, ClassPriorReport]


class BeforeAfter(TypedDict):
    """A value of the adapted network and the same value of the source-only network."""

    adapted: float | None
    source_only: float | None


class RuleCondition(TypedDict):
    """A measurement of the evidence and the threshold it meets."""

    measure: str
    value: float
    comparison: Literal["<", "<=", ">", ">=", "=="]
    threshold: float


class FiredRule(TypedDict):
    """A rule that holds for the evidence.

    A rule with effect `no` or `unsure` decides `helped`. With effect `source_only`, `auto` registers the source-only network.
    """

    name: str
    effect: Literal["no", "unsure", "source_only"]
    reason: str
    conditions: list[RuleCondition]


class HelpedEvidence(TypedDict):
    """Evidence for `helped`. "Drop" and "gain" compare the adapted network with the source-only network.

    `gain`: estimated target accuracy, adapted minus source-only.
    `label_shift_headroom`: the same difference, with the adapted network limited by the source-only network's class priors.
    `validators_in_favour`: fraction of the validators that score the adapted network higher.
    `source_accuracy_drop`: loss of source accuracy; `source_accuracy_drop_allowed`: 0.1, or two standard errors if larger.
    `class_prior_distance`: total variation between the class priors of both networks.
    `classes_lost`: number of classes that only the source-only network predicts.
    `label_shift_reverted`: how much closer the adapted network's class priors are to the source's.
    `label_shift_trusted`: whether the source-only network is accurate enough for its class priors to count.
    `disagreements`: target rows on which the networks disagree, out of `rows`.
    `reverse_validation_ratio`: source accuracy of the adapted network's student, divided by the network's own; 1 without student.
    `reverse_validation_gain`: this ratio minus the source-only network's ratio.
    `steps`, `source_only_steps`: training steps of each network.
    `fired_rules`: the rules that decide `helped`; none means `yes`.
    """

    gain: float
    label_shift_headroom: float
    validators_in_favour: Fraction
    source_accuracy_drop: float
    source_accuracy_drop_allowed: float
    class_prior_distance: Fraction
    classes_lost: int
    label_shift_reverted: float
    label_shift_trusted: bool
    disagreements: int
    rows: int
    reverse_validation_ratio: float
    reverse_validation_gain: float
    steps: int
    source_only_steps: int
    fired_rules: list[FiredRule]


class QuantizationReport(TypedDict, total=False):
    """Measurements of the requested float16 or int8 copy in ONNX Runtime. Values that cannot be measured are omitted.

    `accuracy_before` and `accuracy_after`: held-out source accuracy of the graph and of the copy. `agreement`: fraction of target
    rows with equal predictions. `loss`: the larger of the accuracy loss and of the excess disagreement on the target over the
    source. The version gets the copy if `loss` is at most `max_loss` (`accepted`).
    """

    precision: Literal["float16", "int8"]
    accepted: bool
    loss: Fraction
    max_loss: Fraction
    accuracy_before: Fraction
    accuracy_after: Fraction
    agreement: Fraction
    bytes_before: int
    bytes_after: int


class VersionWarning(TypedDict):
    """A reason to be careful with the version."""

    code: str
    message: str


@with_config(ConfigDict(extra="allow"))
class VersionMetrics(TypedDict, total=False):
    """Accuracies and proportions from 0 to 1. `source_` keys use the held-out source, `target_` keys the evaluation dataset."""

    steps: Annotated[int, Field(description="Training steps of the run.")]
    selected_step: Annotated[int, Field(description="Step of the selected checkpoint.")]
    source_accuracy: Fraction
    source_balanced_accuracy: Fraction
    source_macro_f1: Fraction
    source_calibration_error: Fraction
    source_intervals: Annotated[dict[str, Interval], Field(description="Bootstrap interval of each metric.")]
    source_classes: dict[str, ClassMetrics]
    source_confusion: Annotated[list[list[int]], Field(description="One row for each true class, in the order of `classes`.")]
    target_accuracy: Fraction
    target_balanced_accuracy: Fraction
    target_macro_f1: Fraction
    target_calibration_error: Fraction
    target_intervals: dict[str, Interval]
    target_classes: dict[str, ClassMetrics]
    target_confusion: list[list[int]]
    source_only_target_accuracy: Annotated[float, Field(description="Target accuracy of the source-only network.")]
    target_accuracy_estimate: EstimateReport
    target_accuracy_lower_bound: Annotated[
        LowerBoundReport,
        Field(
            description="The smaller of the disagreement-discrepancy bound (Rosenfeld and Garg, NeurIPS 2023) and the lower end "
            "of the estimate's interval. The bound rests on an assumption, the interval on a benchmark."
        ),
    ]
    class_priors: ClassPriorsReport
    calibration: CalibrationReport
    quantization: QuantizationReport
    helped: Annotated[
        Literal["yes", "no", "unsure"], Field(description="Whether adaptation helped, judged without target labels.")
    ]
    helped_evidence: HelpedEvidence
    registered: Annotated[Literal["adapted", "source_only"], Field(description="The network that became the version.")]
    validators: dict[str, BeforeAfter]
    proxy_a_distance: Annotated[
        BeforeAfter, Field(description="Separability of the domains in feature space: 0 for none, 2 for perfect.")
    ]
    warnings: list[VersionWarning]
    search: Annotated[
        list[dict[str, Any]],
        Field(description="Trials of `auto` by round; round 0 is source-only. The best trial is marked `chosen`."),
    ]
