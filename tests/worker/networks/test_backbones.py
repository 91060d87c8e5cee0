"""Every network that is trained from scratch: its shapes and gradients. Its export is tested with its compact copies."""

from typing import Any

import pytest
import torch

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.image import ImagePreprocessing
from app.modalities.tabular import CategoryColumn, NumberColumn, TabularPreprocessing, UnusedColumn
from app.modalities.text import TextPreprocessing
from app.networks.base import NetworkParams
from app.networks.cnn import CnnParams
from app.networks.mlp import MlpParams
from app.networks.resnet import ResnetParams
from app.networks.vgg import VggParams
from worker import networks
from worker.networks.base import Inputs, Network

Case = tuple[NetworkParams, Preprocessing, dict[str, TensorSpec]]
CLASSES = 3


def picture_case(params: Any, channels: Any = 3) -> Case:
    side = params.input_size
    preprocessing = ImagePreprocessing(
        size=(side, side), channels=channels, resize=(side, side), mean=(0.4,) * channels, std=(0.2,) * channels
    )
    return params, preprocessing, {"pixels": TensorSpec("uint8", (side, side, channels))}


def table_case(numbers: int, categories: int, **params: Any) -> Case:
    columns = [
        *(NumberColumn(name=f"n{place}", mean=10, std=2) for place in range(numbers)),
        UnusedColumn(name="empty"),
        *(CategoryColumn(name=f"c{place}", levels=("no", "yes")) for place in range(categories)),
    ]
    specs = {"numbers": TensorSpec("float32", (numbers,)), "categories": TensorSpec("int64", (categories,))}
    present = {name: spec for name, spec in specs.items() if spec.shape != (0,)}
    return MlpParams(**params), TabularPreprocessing(columns=tuple(columns)), present


def text_case(**params: Any) -> Case:
    specs = {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,))}
    return MlpParams(**params), TextPreprocessing(kind="terms", vocabulary_size=50, max_length=20), specs


CASES = {
    "cnn": picture_case(CnnParams()),
    "cnn of the smallest pictures": picture_case(CnnParams(input_size=8), 1),
    "cnn of larger pictures": picture_case(CnnParams(input_size=64)),
    "resnet": picture_case(ResnetParams(width=8)),
    "resnet of odd pictures": picture_case(ResnetParams(width=8, input_size=33), 1),
    "vgg": picture_case(VggParams()),
    "vgg of the smallest pictures": picture_case(VggParams(input_size=8), 1),
    "vgg of larger pictures": picture_case(VggParams(input_size=60)),
    "mlp of a table": table_case(2, 3, layers=2),
    "mlp of numbers": table_case(2, 0),
    "mlp of categories": table_case(0, 2),
    "mlp of texts": text_case(layers=2),
}


def make_inputs(specs: dict[str, TensorSpec], count: int) -> Inputs:
    shapes = {name: (count, *(12 if size < 0 else size for size in spec.shape)) for name, spec in specs.items()}
    inputs: Inputs = {}
    for name, shape in shapes.items():
        high = {"pixels": 256, "categories": 3, "terms": 50}.get(name)
        dtype = getattr(torch, specs[name].dtype)
        inputs[name] = torch.rand(shape) if high is None else torch.randint(0, high, shape, dtype=dtype)
    if "numbers" in inputs:
        inputs["numbers"][0] = torch.nan
    return inputs


@pytest.mark.parametrize("name", CASES)
def test_features_and_logits_have_their_shapes_and_every_weight_a_gradient(name: str) -> None:
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


def test_a_missing_number_is_the_mean_with_an_indicator() -> None:
    network = mlp(1, 0)
    values = torch.tensor([[10.0], [torch.nan], [14.0], [1e30], [1e9]])
    encoded = network.backbone.get_submodule("0")({"numbers": values})
    assert encoded.tolist() == [[0, 0], [0, 1], [2, 0], [10, 0], [10, 0]]


def test_unknown_levels_have_an_embedding_of_their_own() -> None:
    encoded = mlp(0, 1).backbone.get_submodule("0")({"categories": torch.tensor([[0], [1], [2]])})
    assert len({tuple(row) for row in encoded.tolist()}) == 3


def test_the_order_of_terms_and_padding_do_not_matter_in_training_or_in_serving() -> None:
    torch.manual_seed(0)
    network = networks.build(*text_case(dropout=0.0), CLASSES)
    one = {"terms": torch.tensor([[3, 9]]), "weights": torch.tensor([[0.5, 0.8]])}
    padded = {"terms": torch.tensor([[9, 3, 0, 0]]), "weights": torch.tensor([[0.8, 0.5, 0.0, 0.0]])}
    answers = [network.train(mode)(inputs) for inputs in (one, padded) for mode in (True, False)]
    assert all(torch.allclose(answers[0], answer, atol=1e-6) for answer in answers)


def test_pixels_are_normalised_inside_the_network() -> None:
    network = networks.build(*picture_case(CnnParams()), CLASSES)
    pixels = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    normalised = network.backbone.get_submodule("0")({"pixels": pixels})
    assert torch.allclose(normalised, (pixels.permute(0, 3, 1, 2) / 255 - 0.4) / 0.2, atol=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
