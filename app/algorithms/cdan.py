"""Conditional adversarial domain adaptation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdversarialParams


class CdanParams(AdversarialParams):
    """CDAN: as DANN, with a domain classifier that sees features and predicted classes together."""

    paper: ClassVar[str | None] = "Long et al., NeurIPS 2018, https://arxiv.org/abs/1705.10667"

    algorithm: Literal["cdan"] = "cdan"
    entropy_conditioning: bool = Field(
        True, description="Whether an example counts 1 + exp(-H) in the domain loss, H the entropy of its prediction."
    )
