"""Subspace alignment of the columns."""

from typing import ClassVar, Literal

from app.algorithms.base import AlignedModelParams


class SubspaceAlignmentParams(AlignedModelParams):
    """Subspace alignment: rotate the principal axes of the source to those of the target, then fit a logistic regression."""

    paper: ClassVar[str | None] = "Fernando et al., ICCV 2013, https://doi.org/10.1109/ICCV.2013.368"

    algorithm: Literal["subspace_alignment"] = "subspace_alignment"
