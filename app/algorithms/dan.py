"""Deep adaptation networks."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class DanParams(AdaptationParams):
    """DAN: minimise the maximum mean discrepancy of the features under several Gaussian kernels (MK-MMD)."""

    paper: ClassVar[str | None] = "Long et al., ICML 2015, https://arxiv.org/abs/1502.02791"

    algorithm: Literal["dan"] = "dan"
    weight: float = Field(1.0, ge=0, le=1000, description="Factor on the squared maximum mean discrepancy.")
