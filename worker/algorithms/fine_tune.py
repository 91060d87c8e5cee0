"""Supervised training on the source.

Gradual unfreezing: Howard and Ruder, ACL 2018, https://arxiv.org/abs/1801.06146
"""

from app.algorithms.fine_tune import FineTuneParams
from worker.algorithms.base import Algorithm, Terms
from worker.data.batch import Batch

FULLY_UNFROZEN_AT = 0.5


class FineTune(Algorithm):
    """Cross-entropy on the source. Frozen blocks keep their weights and running statistics and use no dropout."""

    params: FineTuneParams

    def terms(self, batch: Batch) -> Terms:
        if self.params.unfreeze != "all":
            self._freeze(batch.progress)
        return {"classification": self.classification(self.network(batch.source_x), batch.source_y)}

    def _freeze(self, progress: float) -> None:
        blocks = self.network.blocks()
        frozen = len(blocks) - self._trainable_blocks(progress, len(blocks))
        for number, block in enumerate(blocks):
            block.train(number >= frozen)
            block.requires_grad_(number >= frozen)

    def _trainable_blocks(self, progress: float, blocks: int) -> int:
        """Return the number of trainable blocks, counted from the head. `gradual` unfreezes all in half of the run."""
        if self.params.unfreeze == "head":
            return 1
        return min(blocks, 1 + int(progress / FULLY_UNFROZEN_AT * blocks))
