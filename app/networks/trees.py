"""Boosted trees for tables."""

from typing import ClassVar, Literal

from app.networks.base import NetworkParams


class TreesParams(NetworkParams):
    """Boosted trees, which only `gradient_boosting` and `standardized_gradient_boosting` fit. Text columns are not possible."""

    modalities: ClassVar[tuple[str, ...]] = ("tabular",)
    has_batch_norm: ClassVar[bool | None] = False
    has_gradients: ClassVar[bool] = False

    network: Literal["trees"] = "trees"
