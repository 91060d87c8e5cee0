"""Domain-adversarial training of neural networks."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class DannParams(AdaptationParams):
    """DANN: a domain classifier behind a gradient-reversal layer makes the features of source and target alike."""

    paper: ClassVar[str | None] = "Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818"

    algorithm: Literal["dann"] = "dann"
    lambda_max: float = Field(
        1.0, ge=0, le=10, description="lambda_p = lambda_max * (2 / (1 + exp(-10 p)) - 1), p the fraction of the run."
    )
    discriminator_width: int = Field(
        256, ge=1, le=8192, description="Units of each of the two hidden layers of the domain classifier."
    )
    discriminator_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after each hidden layer of the domain classifier.")
