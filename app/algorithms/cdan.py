"""Conditional adversarial domain adaptation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdversarialParams


class CdanParams(AdversarialParams):
    """CDAN: DANN with a discriminator of features and predicted classes together."""

    paper: ClassVar[str | None] = "Long et al., NeurIPS 2018, https://arxiv.org/abs/1705.10667"

    algorithm: Literal["cdan"] = "cdan"
    entropy_conditioning: bool = Field(
        True, description="Weight each example by 1 + exp(-H) in the domain loss, where H is the entropy of its prediction."
    )
