import pytest
import torch

from app.algorithms.cdan import CdanParams
from tests.support.toy_problems import table_network
from worker.algorithms.cdan import Cdan, MultilinearMap, RandomizedMultilinearMap


def test_randomized_map_preserves_scalar_products() -> None:
    torch.manual_seed(0)
    features, probabilities = torch.randn(40, 64), torch.randn(40, 80).softmax(1)
    exact, random = MultilinearMap()(features, probabilities), RandomizedMultilinearMap(64, 80)(features, probabilities)
    assert exact.shape == (40, 64 * 80)
    gram, estimate = exact @ exact.T, random @ random.T
    assert torch.corrcoef(torch.stack([gram.flatten(), estimate.flatten()]))[0, 1] > 0.95
    assert estimate.trace() / gram.trace() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("classes", "kind"), [(10, MultilinearMap), (100, RandomizedMultilinearMap)])
def test_cdan_uses_the_randomized_map_for_wide_products(classes: int, kind: type) -> None:
    network = table_network(classes)
    algorithm = Cdan(network, CdanParams(), classes)
    assert isinstance(algorithm.multilinear_map, kind)
    width = min(network.feature_width * classes, 1024 if kind is RandomizedMultilinearMap else 4096)
    assert algorithm.adversary.discriminator.get_parameter("layers.0.weight").shape[1] == width
