from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from tests.support.toy_problems import make_toy, toy_params
from worker.algorithms.base import Terms
from worker.training.loop import OptimizerStep


def test_mcd_maximises_discrepancy_over_heads_then_minimises_over_features(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("mcd", feature_updates=2)).run
    descent, weights, batch = (
        OptimizerStep(run),
        dict(run.algorithm.eval().named_parameters()),
        next(iter(run.batches.from_step(0))),
    )
    updated: list[set[str]] = []
    discrepancies: list[float] = []

    def descend(terms: Callable[[], Terms], only: Iterable[nn.Parameter] | None = None) -> Terms:
        before = {name: weight.clone() for name, weight in weights.items()}
        result = descent(terms, only)
        changed = [name for name, weight in weights.items() if not torch.equal(before[name], weight)]
        updated.append({"heads" if "head" in name else "encoder" for name in changed})
        discrepancies.append(run.algorithm.terms(batch)["discrepancy"].item())
        return result

    terms = run.algorithm.step(batch, descend)
    assert terms.keys() == {"classification", "second_classification", "discrepancy"}
    assert updated == [{"heads", "encoder"}, {"heads"}, {"encoder"}, {"encoder"}]
    assert discrepancies[0] < discrepancies[1] > discrepancies[2] > discrepancies[3]


def test_mcd_has_one_update_during_warm_up(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("mcd", warmup_fraction=0.5)).run
    first, later = (next(iter(run.batches.from_step(step))) for step in (0, run.batches.steps * 3 // 4))
    assert run.algorithm.step(first, OptimizerStep(run)).keys() == {"classification"}
    assert "discrepancy" in run.algorithm.step(later, OptimizerStep(run))
