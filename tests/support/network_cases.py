"""Networks trained from scratch, with preprocessing and input shapes."""

from typing import Any

import torch

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.image import ImagePreprocessing
from app.modalities.series import SeriesPreprocessing
from app.modalities.tabular import TabularPreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.base import NetworkParams
from app.networks.cnn import CnnParams
from app.networks.cnn1d import Cnn1dParams
from app.networks.inception1d import Inception1dParams
from app.networks.mlp import MlpParams
from app.networks.resnet import ResnetParams
from app.networks.vgg import VggParams
from app.preprocessing.fitted_columns import CategoryColumn, NumberColumn, UnusedColumn
from worker.networks.base import Inputs

Case = tuple[NetworkParams, Preprocessing, dict[str, TensorSpec]]


def image_case(params: Any, channels: Any = 3) -> Case:
    side = params.input_size
    preprocessing = ImagePreprocessing(
        size=(side, side), channels=channels, resize=(side, side), mean=(0.4,) * channels, std=(0.2,) * channels
    )
    return params, preprocessing, {"pixels": TensorSpec("uint8", (side, side, channels))}


def table_case(numbers: int, categories: int, **params: Any) -> Case:
    columns = [
        *(NumberColumn(name=f"n{index}", mean=10, std=2) for index in range(numbers)),
        UnusedColumn(name="empty"),
        *(CategoryColumn(name=f"c{index}", levels=("no", "yes")) for index in range(categories)),
    ]
    specs = {"numbers": TensorSpec("float32", (numbers,)), "categories": TensorSpec("int64", (categories,))}
    present = {name: spec for name, spec in specs.items() if spec.shape != (0,)}
    return MlpParams(**params), TabularPreprocessing(columns=tuple(columns)), present


def text_case(**params: Any) -> Case:
    specs = {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,))}
    return MlpParams(**params), TextPreprocessing(kind="terms", vocabulary_size=50, max_length=20), specs


def series_case(params: NetworkParams, channels: int, length: int) -> Case:
    preprocessing = SeriesPreprocessing(length=length, mean=(1.0,) * channels, std=(2.0,) * channels)
    return params, preprocessing, {"series": TensorSpec("float32", (channels, length))}


CASES = {
    "cnn": image_case(CnnParams()),
    "cnn of the smallest images": image_case(CnnParams(input_size=8), 1),
    "cnn of larger images": image_case(CnnParams(input_size=64)),
    "resnet": image_case(ResnetParams(width=8)),
    "resnet of odd images": image_case(ResnetParams(width=8, input_size=33), 1),
    "vgg": image_case(VggParams()),
    "vgg of the smallest images": image_case(VggParams(input_size=8), 1),
    "vgg of larger images": image_case(VggParams(input_size=60)),
    "mlp of a table": table_case(2, 3, layers=2),
    "mlp of numbers": table_case(2, 0),
    "mlp of categories": table_case(0, 2),
    "mlp of texts": text_case(layers=2),
    "cnn1d": series_case(Cnn1dParams(width=8), 3, 128),
    "cnn1d of the shortest series": series_case(Cnn1dParams(width=8), 1, 8),
    "cnn1d of long series": series_case(Cnn1dParams(width=8), 1, 2000),
    "inception1d": series_case(Inception1dParams(filters=4, depth=4), 3, 128),
    "inception1d of one channel": series_case(Inception1dParams(filters=4, depth=2, kernel=8), 1, 8),
}


def make_inputs(specs: dict[str, TensorSpec], count: int) -> Inputs:
    shapes = {name: (count, *(12 if size < 0 else size for size in spec.shape)) for name, spec in specs.items()}
    inputs: Inputs = {}
    for name, shape in shapes.items():
        high = {"pixels": 256, "categories": 3, "terms": 50}.get(name)
        dtype = getattr(torch, specs[name].dtype)
        inputs[name] = torch.rand(shape) if high is None else torch.randint(0, high, shape, dtype=dtype)
    for name in inputs.keys() & {"numbers", "series"}:
        inputs[name][0] = torch.nan
    return inputs
