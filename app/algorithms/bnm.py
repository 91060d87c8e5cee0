"""Batch nuclear-norm maximisation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class BnmParams(AdaptationParams):
    """BNM: maximise the nuclear norm of a batch of target predictions, which makes them confident and diverse."""

    paper: ClassVar[str | None] = "Cui et al., CVPR 2020, https://arxiv.org/abs/2003.12237"

    algorithm: Literal["bnm"] = "bnm"
    weight: float = Field(1.0, ge=0, le=1000, description="Factor on the nuclear norm divided by the batch size.")
