"""What a version says of itself: the keys of its `metrics`. `worker.reporting.report` writes them; what does not apply is left
out."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Share = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2, description="Lower and upper end, 90 %.")]


class ClassMetrics(TypedDict):
    """Labelled examples of a class, and how many of them were recognised."""

    examples: int
    correct: int
    recall: Share | None
    precision: Share | None


class Calibration(TypedDict):
    """The temperature in the graph (Guo et al., ICML 2017), and the expected calibration error on the held-out source.

    `error_after` is that of each half of it by the temperature of the other half; with a few dozen rows it is mostly chance.
    """

    temperature: float
    error_before: Share
    error_after: Share


@with_config(ConfigDict(extra="allow"))
class Estimate(TypedDict, total=False):
    """Of the accuracy on the target, with its 90 % interval; `error`, estimate less truth, where there is an evaluation."""

    value: Share
    low: Share
    high: Share
    confidence: float
    parts: dict[str, float | None]
    error: float


class LowerBound(TypedDict):
    """A bound and how sure it is."""

    value: Share
    confidence: float


class ClassShare(TypedDict):
    """A class's share of the held-out source, and that of the target as estimated, with its interval."""

    source: Share
    target: Share
    low: Share
    high: Share


class ClassShares(TypedDict):
    """Of all classes, by name. `shifted`: whether they seem to differ; `distance`: total variation."""

    shifted: bool
    distance: Share
    confidence: float
    classes: dict[str, ClassShare]


class BeforeAfter(TypedDict):
    """A figure of the adapted network and of the one that was trained on the source alone."""

    adapted: float | None
    source_only: float | None


class Evidence(TypedDict):
    """What `helped` rests on.

    `gain`: estimated accuracy, adapted less source-only; `room`: the same held to the class shares that the source-only network
    finds; `in_favour`: share of the validators that prefer the adapted network; `source_lost`: accuracy lost on the source;
    `source_allowed`: how much may be, a tenth or what chance does; `priors_apart`: total variation of both networks' class
    shares; `classes_lost`: classes no longer predicted; `carried_back`: how much nearer to the source's the adapted network's
    class shares are, where the source-only network sees others; `shift_known`: whether it is believed in that; `disputed`: target
    rows on which the networks differ, of the `rows` that both were asked about; `taught`: accuracy on the source of a new network
    that learned the target from the adapted one's answers, as a share of the adapted one's own, 1 where none was trained;
    `taught_more`: less that of the source-only network; `steps` and `source_only_steps`: for how long both were trained.
    """

    gain: float
    room: float
    in_favour: Share
    source_lost: float
    source_allowed: float
    priors_apart: Share
    classes_lost: int
    carried_back: float
    shift_known: bool
    disputed: int
    rows: int
    taught: float
    taught_more: float
    steps: int
    source_only_steps: int


class QuantizationReport(TypedDict, total=False):
    """What was measured of the smaller copy that the job asked for (`quantize`), in the engine that serves it.

    `accuracy_`: on the held-out source, of the graph itself and of the copy; `agreement`: share of the target that both answer
    alike; `lost`: the larger of the accuracy lost and of the share by which both differ more often on the target than on the
    source; the copy is `kept`, as a file of the version, if that is not more than `tolerance`. What cannot be measured is left
    out.
    """

    precision: Literal["float16", "int8"]
    kept: bool
    lost: Share
    tolerance: Share
    accuracy_before: Share
    accuracy_after: Share
    agreement: Share
    bytes_before: int
    bytes_after: int


class VersionWarning(TypedDict):
    """What to know before trusting the version."""

    code: str
    message: str


@with_config(ConfigDict(extra="allow"))
class VersionMetrics(TypedDict, total=False):
    """Accuracies and shares from 0 to 1. `source_` is of the held-out source, `target_` of the evaluation data set."""

    steps: Annotated[int, Field(description="How many the run had.")]
    kept_step: Annotated[int, Field(description="The step whose network was kept.")]
    source_accuracy: Share
    source_balanced_accuracy: Share
    source_macro_f1: Share
    source_calibration_error: Share
    source_intervals: Annotated[dict[str, Interval], Field(description="Bootstrap, by figure.")]
    source_classes: dict[str, ClassMetrics]
    source_confusion: Annotated[list[list[int]], Field(description="Rows of true classes, in the order of `classes`.")]
    target_accuracy: Share
    target_balanced_accuracy: Share
    target_macro_f1: Share
    target_calibration_error: Share
    target_intervals: dict[str, Interval]
    target_classes: dict[str, ClassMetrics]
    target_confusion: list[list[int]]
    source_only_target_accuracy: Annotated[float, Field(description="Of the network trained on the source alone.")]
    target_accuracy_estimate: Estimate
    target_accuracy_floor: Annotated[
        LowerBound,
        Field(
            description="The lower of the disagreement-discrepancy bound (Rosenfeld and Garg, NeurIPS 2023), which rests on an "
            "assumption, and of the low end of the estimate's interval, which rests on a benchmark."
        ),
    ]
    class_shares: ClassShares
    calibration: Calibration
    quantization: QuantizationReport
    helped: Annotated[Literal["yes", "no", "unsure"], Field(description="Whether adaptation did, judged without target labels.")]
    helped_evidence: Evidence
    registered: Annotated[Literal["adapted", "source_only"], Field(description="Which network the version is.")]
    validators: dict[str, BeforeAfter]
    proxy_a_distance: Annotated[
        BeforeAfter, Field(description="How well the domains' features can be told apart: 0 not at all, 2 always.")
    ]
    warnings: list[VersionWarning]
    search: Annotated[
        list[dict[str, Any]],
        Field(description="What `auto` tried, by round, the source alone in round 0; what scored best is `chosen`."),
    ]
