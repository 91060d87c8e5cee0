"""Adversarial discriminative domain adaptation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams, DomainClassifierParams


class AddaParams(DomainClassifierParams, AlgorithmParams):
    """ADDA: a copy of the trained encoder learns to give the target features that look like the source's."""

    paper: ClassVar[str | None] = "Tzeng et al., CVPR 2017, https://arxiv.org/abs/1702.05464"
    needs_trained_network: ClassVar[bool] = True

    algorithm: Literal["adda"] = "adda"
    learning_rate: float = Field(2e-4, gt=0, le=10, description="mu_0, the rate at the start.")
