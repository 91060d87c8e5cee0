"""Adversarial discriminative domain adaptation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams, DiscriminatorParams


class AddaParams(DiscriminatorParams, AlgorithmParams):
    """ADDA: train a copy of the source encoder until a discriminator does not separate target features from source features."""

    paper: ClassVar[str | None] = "Tzeng et al., CVPR 2017, https://arxiv.org/abs/1702.05464"
    needs_trained_network: ClassVar[bool] = True

    algorithm: Literal["adda"] = "adda"
    learning_rate: float = Field(2e-4, gt=0, le=10, description="mu_0, the initial learning rate.")
