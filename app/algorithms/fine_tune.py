"""Supervised training on the labelled source alone."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class FineTuneParams(AlgorithmParams):
    """Fine-tuning: supervised training on the source, of the whole network, of its head, or unfrozen step by step."""

    paper: ClassVar[str | None] = "Howard and Ruder, ACL 2018, https://arxiv.org/abs/1801.06146 (gradual unfreezing)"
    needs_target: ClassVar[bool] = False

    algorithm: Literal["fine_tune"] = "fine_tune"
    unfreeze: Literal["all", "head", "gradual"] = Field(
        "all", description="What is trained: everything, the head, or block after block from the head down."
    )
