"""Supervised training on the source only."""

from app.algorithms.source_only import SourceOnlyParams
from worker.algorithms.base import Algorithm, Terms
from worker.data.batch import Batch


class SourceOnly(Algorithm):
    """Cross-entropy on the source: E = L_y."""

    params: SourceOnlyParams

    def terms(self, batch: Batch) -> Terms:
        return {"classification": self.classification(self.network(batch.source_x), batch.source_y)}
