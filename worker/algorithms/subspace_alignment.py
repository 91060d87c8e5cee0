"""Subspace alignment of the columns.

Fernando et al., ICCV 2013, https://doi.org/10.1109/ICCV.2013.368
"""

from app.algorithms.subspace_alignment import SubspaceAlignmentParams
from worker.algorithms.base import LinearMethod
from worker.plain.alignment import subspace_map
from worker.plain.data import PlainData, fit_scale, fit_source_scale
from worker.plain.linear import fit_linear
from worker.plain.models import PlainModel, mapped


class SubspaceAlignment(LinearMethod):
    """The principal axes of the source are rotated to those of the target."""

    params: SubspaceAlignmentParams

    def fit(self, data: PlainData) -> PlainModel:
        source, target = fit_source_scale(data), fit_scale(data.target_rows, data.alignable)
        rows = source.apply(data.source)
        matrix = subspace_map(rows.columns, target.apply(data.target_rows).columns)
        classifier = fit_linear(mapped(rows, matrix), data.labels, data.classes, self.options)
        return PlainModel(source, target, classifier, matrix)
