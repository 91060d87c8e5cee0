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


class ConfusionCell(TypedDict):
    """Rows of a true class that are predicted as another class."""

    true: str
    predicted: str
    count: int


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

    `estimators` holds the evidence that the estimate combines. `error` is estimate minus measured accuracy; it needs an
    evaluation dataset.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    confidence: float
    estimators: dict[str, float | None]
    error: float


class ClassPriorReport(TypedDict):
    """Proportion of a class in the held-out source, and the estimate for the target with its interval."""

    source: Fraction
    target: Fraction
    low: Fraction
    high: Fraction


class ClassPriorsReport(TypedDict):
    """Class priors by class name, estimated for the target; `distance` is the total variation.

    `shifted` means that they differ from the source's by more than chance explains. Other class proportions cause this, but so do
    classes that the model confuses in the target.
    """

    shifted: bool
    distance: Fraction
    confidence: float
    classes: dict[str, ClassPriorReport]


class BeforeAfter(TypedDict):
    """A value of the adapted network and the same value of the source-only network."""

    adapted: float | None
    source_only: float | None


class HelpedEvidence(TypedDict):
    """Judgement of the adapted network against the source-only network, without target labels.

    `expected_gain`: expected difference of the target accuracies, adapted minus source-only.
    `probability_of_gain`, `probability_of_loss`: of a difference of more than one point in accuracy.
    `helped`: the judgement of the adapted network, which may not be the registered one.
    `is_safe`: whether the probability of a loss is small enough for `auto`.
    `disagreements`: target rows on which the networks disagree, out of `rows`.
    `measured`: the evidence by name, None where it could not be measured.
    `steps`, `source_only_steps`: training steps of each network.
    """

    expected_gain: float
    probability_of_gain: Fraction
    probability_of_loss: Fraction
    helped: Literal["yes", "no", "unsure"]
    is_safe: bool
    disagreements: int
    rows: int
    measured: dict[str, float | None]
    steps: int
    source_only_steps: int


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


class LeftOutSource(TypedDict):
    """A source domain, and the accuracy on it of a plain model that learned only the other sources.

    The model is a logistic regression on small images, courses and spectra of series, terms, columns or features.
    """

    name: str
    rows: int
    accuracy: Fraction


DETAILED_METRICS = (
    *(f"{domain}_{name}" for domain in ("source", "target") for name in ("classes", "confusion", "largest_errors")),
    "class_priors",
    "search",
)
"""Metrics with a part for each class or trial, which lists of versions omit."""


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
    source_confusion: Annotated[
        list[list[int]],
        Field(
            description="One row for each true class, in the order of `classes`. With more than 100 classes it is a file of the "
            "version, `confusion-source.parquet`."
        ),
    ]
    source_largest_errors: Annotated[
        list[ConfusionCell], Field(description="Of more than 100 classes: the pairs that are confused most often.")
    ]
    left_out_sources: Annotated[list[LeftOutSource], Field(description="The source domains, if there are several.")]
    target_accuracy: Fraction
    target_balanced_accuracy: Fraction
    target_macro_f1: Fraction
    target_calibration_error: Fraction
    target_intervals: dict[str, Interval]
    target_classes: dict[str, ClassMetrics]
    target_confusion: list[list[int]]
    target_largest_errors: list[ConfusionCell]
    source_only_target_accuracy: Annotated[float, Field(description="Target accuracy of the source-only network.")]
    source_only_target_balanced_accuracy: Fraction
    target_accuracy_estimate: EstimateReport
    class_priors: ClassPriorsReport
    calibration: CalibrationReport
    quantization: QuantizationReport
    helped: Annotated[
        Literal["yes", "no", "unsure"],
        Field(
            description="Whether the version is better than the source-only network, judged without target labels. It is `no` if "
            "the version is the source-only network."
        ),
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
