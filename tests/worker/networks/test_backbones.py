"""Networks trained from scratch: shapes and gradients. Their export is tested in `tests/worker/export`."""

import pytest
import torch

from app.networks.cnn import CnnParams
from tests.support.network_cases import CASES, image_case, make_inputs, table_case, text_case
from worker import networks
from worker.networks.base import Network

CLASSES = 3


@pytest.mark.parametrize("name", CASES)
def test_network_has_expected_shapes_and_gradients_everywhere(name: str) -> None:
    params, preprocessing, specs = CASES[name]
    torch.manual_seed(0)
    network = networks.build(params, preprocessing, specs, CLASSES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = make_inputs(specs, 16)
    assert network.features(inputs).shape == (16, network.feature_width)
    logits = network(inputs)
    assert logits.shape == (16, CLASSES)
    logits.square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []
    assert network.blocks()[-1] is network.head
    assert sum(weight.numel() for block in network.blocks() for weight in block.parameters()) == sum(
        weight.numel() for weight in network.parameters()
    )


def mlp(numbers: int, categories: int) -> Network:
    torch.manual_seed(0)
    return networks.build(*table_case(numbers, categories), CLASSES).eval()


def test_missing_number_is_the_mean_with_an_indicator() -> None:
    network = mlp(1, 0)
    values = torch.tensor([[10.0], [torch.nan], [14.0], [1e30], [1e9]])
    encoded = network.backbone.get_submodule("0")({"numbers": values})
    assert encoded.tolist() == [[0, 0], [0, 1], [2, 0], [10, 0], [10, 0]]


def test_unknown_level_has_its_own_embedding() -> None:
    encoded = mlp(0, 1).backbone.get_submodule("0")({"categories": torch.tensor([[0], [1], [2]])})
    assert len({tuple(row) for row in encoded.tolist()}) == 3


def test_term_order_and_padding_do_not_change_logits() -> None:
    torch.manual_seed(0)
    network = networks.build(*text_case(dropout=0.0), CLASSES)
    one = {"terms": torch.tensor([[3, 9]]), "weights": torch.tensor([[0.5, 0.8]])}
    padded = {"terms": torch.tensor([[9, 3, 0, 0]]), "weights": torch.tensor([[0.8, 0.5, 0.0, 0.0]])}
    logits = [network.train(mode)(inputs) for inputs in (one, padded) for mode in (True, False)]
    assert all(torch.allclose(logits[0], other, atol=1e-6) for other in logits)


def test_network_normalises_pixels() -> None:
    network = networks.build(*image_case(CnnParams()), CLASSES)
    pixels = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    normalised = network.backbone.get_submodule("0")({"pixels": pixels})
    assert torch.allclose(normalised, (pixels.permute(0, 3, 1, 2) / 255 - 0.4) / 0.2, atol=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
