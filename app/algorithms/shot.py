"""Source hypothesis transfer."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class ShotParams(AlgorithmParams):
    """SHOT: train the encoder, with a frozen head, towards confident and diverse target predictions. Needs no source."""

    paper: ClassVar[str | None] = "Liang et al., ICML 2020, https://arxiv.org/abs/2002.08546"
    needs_source: ClassVar[bool] = False
    needs_trained_network: ClassVar[bool] = True

    algorithm: Literal["shot"] = "shot"
    min_steps: int = Field(
        500, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs` on small datasets."
    )
    pseudo_label_weight: float = Field(
        0.3, ge=0, le=1000, description="beta, factor on the cross-entropy with the class of the nearest centroid."
    )
