"""What a caller may say to every algorithm."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class AlgorithmParams(BaseModel):
    """Parameters that every algorithm has. A subclass's docstring is its summary in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: ClassVar[str | None] = None
    needs_target: ClassVar[bool] = True

    algorithm: str
    epochs: int = Field(20, ge=1, le=10_000, description="Passes over the larger of the two data sets.")
    batch_size: int = Field(64, ge=2, le=4096, description="Source examples a step, and as many target examples.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="`sgd` has Nesterov momentum 0.9.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="mu_0, the rate at the start.")
    schedule: Literal["constant", "annealed"] = Field(
        "annealed", description="annealed: mu_0 / (1 + 10 p)^0.75, p the fraction of the run."
    )
    backbone_rate: float = Field(
        0.03, ge=0, le=1, description="Factor on the learning rate of a pretrained encoder's weights; new layers take it whole."
    )
    weight_decay: float = Field(1e-3, ge=0, le=1, description="Decoupled for `adamw`, an L2 term for `sgd`.")
    gradient_clip: float = Field(5.0, gt=0, description="Largest norm of the joint gradient.")
    minimum_steps: int = Field(
        0, ge=0, le=1_000_000, description="A run has at least as many steps, whatever `epochs` says: small data need them."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of matrix products while training. auto: bfloat16 on GPUs and on CPUs with matrix units (AMX)."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.9, description="Part of the source that is held out to watch the training."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same run, on CPU to the bit.")

    @classmethod
    def catalogue_entry(cls) -> dict[str, Any]:
        """Name, summary, paper and JSON schema: what `GET /algorithms` lists."""
        return {
            "name": cls.model_fields["algorithm"].default,
            "summary": (cls.__doc__ or "").strip(),
            "paper": cls.paper,
            "needs_target": cls.needs_target,
            "parameters": cls.model_json_schema(),
        }
