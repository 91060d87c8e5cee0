"""Weighting of source rows by their likeness to the target."""

from typing import ClassVar, Literal

from app.algorithms.base import LinearModelParams


class ImportanceWeightingParams(LinearModelParams):
    """Importance weighting: fit a logistic regression on source rows weighted by how much they resemble the target."""

    paper: ClassVar[str | None] = "Bickel, Brueckner and Scheffer, JMLR 2009, https://www.jmlr.org/papers/v10/bickel09a.html"

    algorithm: Literal["importance_weighting"] = "importance_weighting"
