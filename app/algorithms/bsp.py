"""Batch spectral penalisation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdversarialParams


class BspParams(AdversarialParams):
    """BSP: as DANN, with a penalty on the largest singular values of the features, which keeps the smaller ones alive."""

    paper: ClassVar[str | None] = "Chen et al., ICML 2019, https://proceedings.mlr.press/v97/chen19i.html"

    algorithm: Literal["bsp"] = "bsp"
    weight: float = Field(1e-4, ge=0, le=1000, description="Factor on the penalty.")
    singular_values: int = Field(1, ge=1, le=64, description="k, how many of the largest are penalised in each domain.")
