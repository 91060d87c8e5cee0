"""Batch spectral penalisation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdversarialParams


class BspParams(AdversarialParams):
    """BSP: DANN with a penalty on the largest singular values of the features, which preserves discriminability."""

    paper: ClassVar[str | None] = "Chen et al., ICML 2019, https://proceedings.mlr.press/v97/chen19i.html"

    algorithm: Literal["bsp"] = "bsp"
    weight: float = Field(1e-4, ge=0, le=1000, description="Factor on the penalty.")
    singular_values: int = Field(1, ge=1, le=64, description="k, number of largest singular values penalised in each domain.")
