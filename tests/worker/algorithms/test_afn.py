from pathlib import Path

from tests.support.toy_problems import make_toy, toy_params
from worker.training.loop import train


def test_afn_increases_feature_norms(tmp_path: Path) -> None:
    def last_norm(weight: float) -> float:
        toy = make_toy(tmp_path / str(weight), toy_params("afn", weight=weight, epochs=3))
        train(toy.run)
        return toy.series("target_norm")[-1]

    assert last_norm(0.05) > 1.1 * last_norm(0.0)
