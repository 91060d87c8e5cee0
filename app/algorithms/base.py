"""What a caller may say to every algorithm."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.validators import ValidatorName


class AlgorithmParams(BaseModel):
    """Parameters that every algorithm has. A subclass's docstring is its summary in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: ClassVar[str | None] = None
    needs_target: ClassVar[bool] = True
    needs_source: ClassVar[bool] = True
    """A method that needs none adapts the version that a job starts from, or a network that the job trains on its source."""
    needs_trained_network: ClassVar[bool] = False
    """Whether the method takes over from a network that was trained on the source."""
    augments_target_itself: ClassVar[bool] = False
    """Whether the method changes the target's pictures itself, so that `augment_domains` is of the source alone."""
    is_search: ClassVar[bool] = False
    """Whether it tries other algorithms."""

    algorithm: str
    epochs: int = Field(20, ge=1, le=10_000, description="Passes over the larger of the two data sets.")
    batch_size: int = Field(64, ge=2, le=4096, description="Source examples a step, and as many target examples.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="`sgd` has Nesterov momentum 0.9.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="mu_0, the rate at the start.")
    lr_schedule: Literal["constant", "inverse_decay"] = Field(
        "inverse_decay", description="inverse_decay: mu_0 / (1 + 10 p)^0.75, p the fraction of the run."
    )
    backbone_lr_factor: float = Field(
        0.03, ge=0, le=1, description="Factor on the learning rate of a pretrained encoder's weights; new layers take it whole."
    )
    weight_decay: float = Field(1e-3, ge=0, le=1, description="Decoupled for `adamw`, an L2 term for `sgd`.")
    gradient_clip: float = Field(5.0, gt=0, description="Largest norm of the joint gradient.")
    min_steps: int = Field(
        0, ge=0, le=1_000_000, description="A run has at least as many steps, whatever `epochs` says: small data need them."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of matrix products while training. auto: bfloat16 on GPUs, and for convolutions and pretrained encoders on "
        "CPUs that are quicker in it, which is measured.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each source label that is spread over all classes.")
    class_balanced: bool = Field(False, description="Whether every class of the source is drawn equally often.")
    augmentation: Literal["none", "affine", "strong"] = Field(
        "affine",
        description="Random changes of the training pictures. affine: rotation, scale, shear and shift, for domains that differ "
        "in these; strong: brightness, contrast, colours, inversion, noise and covered patches as well.",
    )
    augment_domains: Literal["source", "both"] = Field("source", description="Whose training pictures are changed.")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay a step of a moving average of the weights, which is what the version gets; 0: none."
    )
    validator: ValidatorName = Field(
        "information_maximisation",
        description="The score that chooses among a run's networks, where there is a target; the newest of equals.",
    )
    fallback: bool = Field(
        True,
        description="Whether the source-only network becomes the version where adaptation seems to have hurt (`helped`: no), and "
        "after a search where too few rows are in dispute to tell.",
    )
    patience: int = Field(
        0, ge=0, le=1000, description="Checks in a row (a run has about 20) without a better score that end it; 0: never."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.9, description="Part of the source that is held out to watch the training."
    )
    quantize: Literal["none", "float16", "int8"] = Field(
        "none",
        description="A smaller copy of the network, to be served on request (`precision` of a prediction): in int8 of about a "
        "quarter of the size, and on CPUs quicker; float16 of half the size, for GPUs. The version has it if it is good enough.",
    )
    max_quantization_loss: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Accuracy that the copy may lose on the held-out source; without a source, share of the target that it may "
        "answer otherwise.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same run, on CPU to the bit.")

    @classmethod
    def catalogue_entry(cls) -> dict[str, Any]:
        """Name, summary, paper and JSON schema: what `GET /algorithms` lists."""
        return {
            "name": cls.model_fields["algorithm"].default,
            "summary": (cls.__doc__ or "").strip(),
            "paper": cls.paper,
            "needs_source": cls.needs_source,
            "needs_target": cls.needs_target,
            "parameters": cls.model_json_schema(),
        }


class AdaptationParams(AlgorithmParams):
    """Parameters of methods that learn from source and target in the same steps."""

    min_steps: int = Field(
        500, ge=0, le=1_000_000, description="A run has at least as many steps, whatever `epochs` says: short ones collapse."
    )
    batch_norm: Literal["domain", "shared"] = Field(
        "domain",
        description="domain: source and target are normalised by statistics of their own, and the target's are served; "
        "shared: one batch of both.",
    )
    warmup_fraction: float = Field(
        0.0, ge=0, lt=1, description="Part of the run that trains on the source alone; p is the fraction of the rest."
    )


class DomainClassifierParams(BaseModel):
    """What a domain classifier is."""

    discriminator_width: int = Field(
        256, ge=1, le=8192, description="Units of each of the two hidden layers of the domain classifier."
    )
    discriminator_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after each hidden layer of the domain classifier.")


class AdversarialParams(DomainClassifierParams, AdaptationParams):
    """Parameters of methods with a domain classifier behind a gradient-reversal layer."""

    lambda_max: float = Field(
        1.0, ge=0, le=10, description="lambda_p = lambda_max * (2 / (1 + exp(-10 p)) - 1), p the fraction of the run."
    )


def parse_params(values: dict[str, Any]) -> AlgorithmParams:
    """The parameters of the algorithm that they name, checked. Raises ValueError."""
    known = {cls.model_fields["algorithm"].default: cls for cls in _kinds(AlgorithmParams)}
    name = values.get("algorithm")
    if name is None:
        raise ValueError("`algorithm` is missing")
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"there is no algorithm {str(name)[:100]!r}")
    try:
        return known[name].model_validate(values)
    except ValidationError as error:
        places = [f"{'.'.join(map(str, place['loc']))}: {place['msg']}" for place in error.errors(include_url=False)]
        raise ValueError(f"`{name}`: {'; '.join(places)}") from error


def _kinds(kind: type[AlgorithmParams]) -> Iterator[type[AlgorithmParams]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _kinds(subclass)
