"""Parameters that all algorithms share."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.networks.base import PlainKind
from app.validators import ValidatorName


class AlgorithmParams(BaseModel):
    """Parameters of every algorithm. A subclass's docstring is its summary in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: ClassVar[str | None] = None
    needs_target: ClassVar[bool] = True
    needs_source: ClassVar[bool] = True
    """False: the method adapts the version that a job starts from, or a network that the job first trains on its source."""
    needs_trained_network: ClassVar[bool] = False
    """True: the method starts from a network trained on the source."""
    needs_batch_norm: ClassVar[bool] = False
    """True: the method changes nothing but batch norm."""
    augments_target_itself: ClassVar[bool] = False
    """True: the method augments target images itself, so `augment_domains` affects only the source."""
    is_search: ClassVar[bool] = False
    """True: the algorithm runs trials of other algorithms."""
    plain_kind: ClassVar[PlainKind | None] = None
    """The kind of plain model that scikit-learn fits, without gradient steps."""

    algorithm: str
    epochs: int = Field(20, ge=1, le=10_000, description="Passes over the larger of the two datasets.")
    batch_size: int = Field(64, ge=2, le=4096, description="Source examples per step, and as many target examples.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="`sgd` uses Nesterov momentum 0.9.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="mu_0, the initial learning rate.")
    lr_schedule: Literal["constant", "inverse_decay"] = Field(
        "inverse_decay", description="inverse_decay: mu_0 / (1 + 10 p)^0.75, where p is the completed fraction of the run."
    )
    backbone_lr_factor: float = Field(
        0.03, ge=0, le=1, description="Factor on the learning rate of a pretrained encoder; new layers use the full rate."
    )
    weight_decay: float = Field(1e-3, ge=0, le=1, description="Decoupled for `adamw`, an L2 term for `sgd`.")
    gradient_clip: float = Field(5.0, gt=0, description="Maximum norm of the gradient over all weights.")
    min_steps: int = Field(0, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs` on small datasets.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of matrix products during training. auto: bfloat16 on GPUs; on CPUs, bfloat16 for convolutions "
        "and pretrained encoders if a measurement shows that it is faster.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Fraction of each source label spread over all classes.")
    class_balanced: bool = Field(False, description="Draw every class of the source equally often.")
    augmentation: Literal["none", "affine", "strong"] = Field(
        "affine",
        description="Random changes of training images and series. affine: rotation, scale, shear and shift, for domains that "
        "differ in them; of series the scale and a shift in time. strong: also brightness, contrast, colour, inversion, noise "
        "and cutout; of series the scale of each channel, jitter and a masked interval.",
    )
    augment_domains: Literal["source", "both"] = Field(
        "source", description="Domains whose training images or series are augmented."
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay per step of an exponential moving average of the weights, which the version then contains. 0: off.",
    )
    validator: ValidatorName = Field(
        "information_maximisation",
        description="Score that selects a checkpoint without target labels; of equal scores the latest checkpoint wins.",
    )
    fallback: bool = Field(
        True,
        description="Register the source-only network if adaptation seems to have hurt (`helped: no`). A search also does so if "
        "the two networks disagree on too few rows to compare them.",
    )
    patience: int = Field(
        0,
        ge=0,
        le=1000,
        description="Stop after this many evaluations without a better score; a run has about 20 evaluations. 0: never stop.",
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.9, description="Fraction of the source held out for validation, not used for training."
    )
    quantize: Literal["none", "float16", "int8"] = Field(
        "none",
        description="Quantized copy of the network, served on request (`precision` of a prediction). int8: a quarter of the "
        "size, and faster on CPUs. float16: half the size, for GPUs. The version has it only if it is accurate enough.",
    )
    max_quantization_loss: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Accuracy on the held-out source that the quantized copy may lose. Without a source: fraction of target rows "
        "on which the copy may disagree.",
    )
    use_target_labels: bool = Field(
        False,
        description="Learn from labelled target rows too: those of the target's file, and the answers of its label requests with "
        "the purpose `improve`. Rows that measure accuracies are left out.",
    )
    target_label_share: float = Field(
        0.25, gt=0, lt=1, description="Fraction of the source batches that labelled target rows take, with `use_target_labels`."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Equal seeds give equal runs, bit for bit on a CPU.")

    @classmethod
    def catalogue_entry(cls) -> dict[str, Any]:
        """Return the name, summary, paper and JSON schema that `GET /algorithms` lists."""
        return {
            "name": cls.model_fields["algorithm"].default,
            "summary": (cls.__doc__ or "").strip(),
            "paper": cls.paper,
            "needs_source": cls.needs_source,
            "needs_target": cls.needs_target,
            "parameters": cls.model_json_schema(),
        }


class AdaptationParams(AlgorithmParams):
    """Parameters of methods that learn from source and target in the same step."""

    min_steps: int = Field(
        500, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs`, because short runs collapse."
    )
    batch_norm: Literal["domain", "shared"] = Field(
        "domain",
        description="domain: separate statistics for source and target, of which the target's are served; "
        "shared: one batch of both domains.",
    )
    warmup_fraction: float = Field(
        0.0, ge=0, lt=1, description="Initial fraction of the run that trains on the source only; p is the fraction of the rest."
    )


class LinearModelParams(AlgorithmParams):
    """Parameters of linear models. Those of gradient steps, such as `epochs`, have no effect on them."""

    plain_kind: ClassVar[PlainKind | None] = "linear"

    inverse_regularization: float = Field(1.0, gt=0, le=1e6, description="C of scikit-learn: smaller values regularise more.")


class AlignedModelParams(LinearModelParams):
    """Parameters of linear models that move the columns of the source to those of the target."""

    plain_kind: ClassVar[PlainKind | None] = "aligned"


class TreeModelParams(AlgorithmParams):
    """Parameters of boosted trees. Those of gradient steps, such as `epochs`, have no effect on them."""

    plain_kind: ClassVar[PlainKind | None] = "trees"

    learning_rate: float = Field(0.1, gt=0, le=10, description="Factor on the values of each tree.")


class DiscriminatorParams(BaseModel):
    """Size of the domain discriminator."""

    discriminator_width: int = Field(
        256, ge=1, le=8192, description="Units of each of the two hidden layers of the discriminator."
    )
    discriminator_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after each hidden layer of the discriminator.")


class AdversarialParams(DiscriminatorParams, AdaptationParams):
    """Parameters of methods with a discriminator behind a gradient-reversal layer."""

    lambda_max: float = Field(
        1.0,
        ge=0,
        le=10,
        description="lambda_p = lambda_max * (2 / (1 + exp(-10 p)) - 1), where p is the completed fraction of the run.",
    )


def parse_params(values: dict[str, Any]) -> AlgorithmParams:
    """Return the validated parameters of the algorithm they name. Raise ValueError."""
    classes = {cls.model_fields["algorithm"].default: cls for cls in _subclasses(AlgorithmParams)}
    name = values.get("algorithm")
    if name is None:
        raise ValueError("`algorithm` is missing")
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"there is no algorithm {str(name)[:100]!r}")
    try:
        return classes[name].model_validate(values)
    except ValidationError as error:
        errors = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
        raise ValueError(f"`{name}`: {'; '.join(errors)}") from error


def _subclasses(cls: type[AlgorithmParams]) -> Iterator[type[AlgorithmParams]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
