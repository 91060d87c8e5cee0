"""Supervised training on the labelled source."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class FineTuneParams(AlgorithmParams):
    """Fine-tuning: supervised training of the whole network, of its head, or with gradual unfreezing."""

    paper: ClassVar[str | None] = "Howard and Ruder, ACL 2018, https://arxiv.org/abs/1801.06146 (gradual unfreezing)"
    needs_target: ClassVar[bool] = False

    algorithm: Literal["fine_tune"] = "fine_tune"
    unfreeze: Literal["all", "head", "gradual"] = Field(
        "all", description="Trained layers: all, the head only, or one more block at a time, starting at the head."
    )
