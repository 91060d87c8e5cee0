"""The measured models: small networks of every modality, exported as in a job, and inputs for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from app.artifacts import InputSpec
from app.modalities import MODALITIES
from app.modalities.base import Chunk, Encoded, Preprocessing, TensorSpec
from app.modalities.image import ImagePreprocessing
from app.modalities.tabular import TabularPreprocessing
from app.networks.base import NetworkParams
from app.networks.cnn import CnnParams
from app.networks.mlp import MlpParams
from app.networks.resnet import ResnetParams
from app.preprocessing.fitted_columns import CategoryColumn, NumberColumn
from tests.support.factories import make_manifest
from tests.support.published_models import Exported
from worker import networks
from worker.export.onnx import ONNX_FILE, export
from worker.networks.base import Network, PixelNormalizer

MAX_SAMPLES = 64
SIDE, FEATURES, IMAGE_SIDE = 28, 100, 224
Build = Callable[[Preprocessing, dict[str, TensorSpec], int], Network]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network and 64 inputs: raw inputs of the modality, and the same as in JSON."""

    name: str
    exported: Exported
    raw: Any
    written: Sequence[Any]

    @property
    def classes(self) -> list[str]:
        return self.exported.manifest.classes

    @property
    def graph(self) -> Path:
        return self.exported.folder / ONNX_FILE

    def encoded(self, samples: int) -> Encoded:
        """Return the first inputs in the graph's format."""
        return self.exported.encode(self.raw[:samples])

    def probabilities(self, samples: int) -> NDArray[np.float64]:
        """Compute the probabilities (samples, classes) of the first inputs with ONNX Runtime."""
        session = onnxruntime.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        logits = session.run(["logits"], self.encoded(samples))[0].astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities


def lenet(folder: Path, seed: int = 0) -> Subject:
    """Make LeNet-5 (LeCun et al., 1998) with max-pools and ReLU, on 28 x 28 grey noise images."""
    return _digits("lenet", folder, _lenet, seed)


def cnn(folder: Path, seed: int = 0) -> Subject:
    """Make the service's network `cnn`, on the same images."""
    return _digits("cnn", folder, _built(CnnParams()), seed)


def _digits(name: str, folder: Path, build: Build, seed: int) -> Subject:
    images = np.random.default_rng(0).integers(0, 256, (MAX_SAMPLES, SIDE, SIDE, 1), dtype=np.uint8)
    preprocessing = ImagePreprocessing(size=(SIDE, SIDE), channels=1, resize=(SIDE, SIDE), mean=(0.5,), std=(0.3,))
    written = images[..., 0].tolist()
    return _subject(name, folder, preprocessing, build, [str(digit) for digit in range(10)], list(images), written, seed)


def _lenet(preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    assert isinstance(preprocessing, ImagePreprocessing)
    backbone = nn.Sequential(
        PixelNormalizer(preprocessing.mean, preprocessing.std),
        nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
    )
    bottleneck = nn.Sequential(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU())
    return Network(backbone, bottleneck, nn.Linear(84, classes), 84)


def mlp(folder: Path, seed: int = 0) -> Subject:
    """Make the service's network for tables, on 100 numbers with 6 decimals."""
    numbers = np.random.default_rng(0).normal(size=(MAX_SAMPLES, FEATURES)).astype(np.float32).astype(np.float64).round(6)
    names = [f"x{column}" for column in range(FEATURES)]
    preprocessing = TabularPreprocessing(columns=tuple(NumberColumn(name=name, mean=0.1, std=1.1) for name in names))
    raw = pl.DataFrame(numbers, schema=names)
    return _subject("mlp", folder, preprocessing, _built(MlpParams()), ["no", "yes"], raw, numbers.tolist(), seed)


def text(folder: Path, seed: int = 0) -> Subject:
    """Make the service's network for texts, on 64 texts of 40 words out of 2000, with TF-IDF."""
    random = np.random.default_rng(0)
    texts = [" ".join(f"word{number}" for number in random.zipf(1.3, 40) % 2000) for _ in range(MAX_SAMPLES)]
    folder.mkdir(parents=True, exist_ok=True)
    preprocessing = MODALITIES["text"].fit([Chunk(texts, None, len(texts))], [], MlpParams(), None, folder)
    return _subject("text", folder, preprocessing, _built(MlpParams()), ["bad", "good"], texts, texts, seed)


def mixed(folder: Path, seed: int = 0) -> Subject:
    """Make the service's network for tables, on 5 numbers and 8 categories of 12 levels."""
    random = np.random.default_rng(0)
    levels = tuple(f"level {number}" for number in range(12))
    columns = {f"x{column}": random.normal(size=MAX_SAMPLES).round(4).tolist() for column in range(5)}
    columns |= {f"c{column}": random.choice(levels, MAX_SAMPLES).tolist() for column in range(8)}
    fitted = [NumberColumn(name=name, mean=0.1, std=1.1) for name in columns if name.startswith("x")]
    categories = [CategoryColumn(name=name, levels=levels) for name in columns if name.startswith("c")]
    raw = pl.DataFrame(columns)
    preprocessing = TabularPreprocessing(columns=(*fitted, *categories))
    return _subject("mixed", folder, preprocessing, _built(MlpParams()), ["no", "yes"], raw, raw.to_dicts(), seed)


def photograph(folder: Path, seed: int = 0) -> Subject:
    """Make the service's default network for small images, for JPEG files of 224 x 224."""
    sides = (SIDE, SIDE)
    preprocessing = ImagePreprocessing(size=sides, channels=3, resize=sides, mean=(0.5,) * 3, std=(0.3,) * 3)
    files = [jpeg(number) for number in range(MAX_SAMPLES)]
    raw = MODALITIES["image"].parse_bytes(files[:8], preprocessing)
    return _subject("photograph", folder, preprocessing, _built(CnnParams()), ["cat", "dog"], raw, files, seed)


def image(folder: Path, seed: int = 0) -> Subject:
    """Make a ResNet of an eighth of the usual width, on 224 x 224 colour images in JPEG files."""
    sides = (IMAGE_SIDE, IMAGE_SIDE)
    preprocessing = ImagePreprocessing(size=sides, channels=3, resize=sides, mean=(0.5,) * 3, std=(0.3,) * 3)
    files = [jpeg(seed) for seed in range(4)]
    raw = [np.asarray(Image.open(BytesIO(file))) for file in files]
    build = _built(ResnetParams(input_size=IMAGE_SIDE, width=8))
    return _subject("image", folder, preprocessing, build, ["cat", "dog"], raw, files, seed)


def jpeg(seed: int) -> bytes:
    """Make a JPEG of coloured gradients and noise. Its size is about 15 kB, like a photograph's."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:IMAGE_SIDE, 0:IMAGE_SIDE] / IMAGE_SIDE
    waves = [np.sin(2 * np.pi * (random.uniform(1, 5) * rows + random.uniform(1, 5) * columns)) for _ in range(3)]
    pixels = 128 + 80 * np.stack(waves, axis=2) + random.normal(0, 8, (IMAGE_SIDE, IMAGE_SIDE, 3))
    buffer = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"lenet": lenet, "mlp": mlp, "image": image, "text": text}


def _built(params: NetworkParams) -> Build:
    return lambda preprocessing, specs, classes: networks.build(params, preprocessing, specs, classes)


def _subject(  # noqa: PLR0913  # called once for each subject, with all its properties
    name: str,
    folder: Path,
    preprocessing: Preprocessing,
    build: Build,
    classes: Sequence[str],
    raw: Any,
    written: Sequence[Any],
    seed: int,
) -> Subject:
    folder.mkdir(parents=True, exist_ok=True)
    modality = MODALITIES[preprocessing.modality]
    specs, encode = modality.specs(preprocessing), modality.encoder(preprocessing, folder)
    torch.manual_seed(seed)
    network = build(preprocessing, specs, len(classes)).eval()
    with torch.no_grad():
        for weights in network.head.parameters():  # sharper than at random, so that probabilities differ from one another
            weights.mul_(10)
    export(network, {name: torch.from_numpy(array) for name, array in encode(raw[:4]).items()}, folder, specs)
    manifest = make_manifest(
        modality=preprocessing.modality,
        preprocessing=preprocessing.model_dump(mode="json"),
        classes=list(classes),
        inputs={name: InputSpec(spec.dtype, spec.shape) for name, spec in specs.items()},
    )
    manifest.write(folder)
    return Subject(name, Exported(network, encode, manifest, folder), raw, written)
