"""What is asked for a prediction: small networks of every modality, exported as a job exports them, and inputs for them."""

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
from app.modalities.tabular import NumberColumn, TabularPreprocessing
from app.networks.base import NetworkParams
from app.networks.cnn import CnnParams
from app.networks.mlp import MlpParams
from app.networks.resnet import ResnetParams
from tests.support.factories import make_manifest
from tests.support.published_models import Exported
from worker import networks
from worker.export.onnx import ONNX_FILE, export
from worker.networks.base import Network, PixelNormalizer

MOST_SAMPLES = 64
SIDE, FEATURES, PICTURE_SIDE = 28, 100, 224
Build = Callable[[Preprocessing, dict[str, TensorSpec], int], Network]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network and 64 inputs for it: raw as the modality has them, and as they are written in JSON."""

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
        """The first inputs as the graph takes them."""
        return self.exported.encode(self.raw[:samples])

    def probabilities(self, samples: int) -> NDArray[np.float64]:
        """What ONNX Runtime answers to the first inputs: (samples, classes)."""
        session = onnxruntime.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        logits = session.run(["logits"], self.encoded(samples))[0].astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        answers: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return answers


def lenet(folder: Path, seed: int = 0) -> Subject:
    """LeNet-5 (LeCun et al., 1998) with max-pools and ReLU on 28 x 28 grey pictures of noise."""
    return _digits("lenet", folder, _lenet, seed)


def cnn(folder: Path, seed: int = 0) -> Subject:
    """The service's network for small pictures, on the same."""
    return _digits("cnn", folder, _built(CnnParams()), seed)


def _digits(name: str, folder: Path, build: Build, seed: int) -> Subject:
    pictures = np.random.default_rng(0).integers(0, 256, (MOST_SAMPLES, SIDE, SIDE, 1), dtype=np.uint8)
    preprocessing = ImagePreprocessing(size=(SIDE, SIDE), channels=1, resize=(SIDE, SIDE), mean=(0.5,), std=(0.3,))
    written = pictures[..., 0].tolist()
    return _subject(name, folder, preprocessing, build, [str(digit) for digit in range(10)], list(pictures), written, seed)


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
    """The service's network for tables over 100 numbers of 6 decimals."""
    numbers = np.random.default_rng(0).normal(size=(MOST_SAMPLES, FEATURES)).astype(np.float32).astype(np.float64).round(6)
    names = [f"x{column}" for column in range(FEATURES)]
    preprocessing = TabularPreprocessing(columns=tuple(NumberColumn(name=name, mean=0.1, std=1.1) for name in names))
    raw = pl.DataFrame(numbers, schema=names)
    return _subject("mlp", folder, preprocessing, _built(MlpParams()), ["no", "yes"], raw, numbers.tolist(), seed)


def text(folder: Path, seed: int = 0) -> Subject:
    """The service's network for texts on 64 texts of 40 words out of 2000, by TF-IDF."""
    random = np.random.default_rng(0)
    texts = [" ".join(f"word{number}" for number in random.zipf(1.3, 40) % 2000) for _ in range(MOST_SAMPLES)]
    folder.mkdir(parents=True, exist_ok=True)
    preprocessing = MODALITIES["text"].fit([Chunk(texts, None, len(texts))], [], MlpParams(), None, folder)
    return _subject("text", folder, preprocessing, _built(MlpParams()), ["bad", "good"], texts, texts, seed)


def picture(folder: Path, seed: int = 0) -> Subject:
    """A residual network, an eighth as wide as usual, on 224 x 224 colour pictures that come as JPEG files."""
    sides = (PICTURE_SIDE, PICTURE_SIDE)
    preprocessing = ImagePreprocessing(size=sides, channels=3, resize=sides, mean=(0.5,) * 3, std=(0.3,) * 3)
    files = [jpeg(seed) for seed in range(4)]
    raw = [np.asarray(Image.open(BytesIO(file))) for file in files]
    build = _built(ResnetParams(input_size=PICTURE_SIDE, width=8))
    return _subject("picture", folder, preprocessing, build, ["cat", "dog"], raw, files, seed)


def jpeg(seed: int) -> bytes:
    """A JPEG of coloured gradients and a little noise: like a photograph's, its size is some 15 kB."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:PICTURE_SIDE, 0:PICTURE_SIDE] / PICTURE_SIDE
    waves = [np.sin(2 * np.pi * (random.uniform(1, 5) * rows + random.uniform(1, 5) * columns)) for _ in range(3)]
    pixels = 128 + 80 * np.stack(waves, axis=2) + random.normal(0, 8, (PICTURE_SIDE, PICTURE_SIDE, 3))
    buffer = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"lenet": lenet, "mlp": mlp, "picture": picture, "text": text}


def _built(params: NetworkParams) -> Build:
    return lambda preprocessing, specs, classes: networks.build(params, preprocessing, specs, classes)


def _subject(
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
        for weights in network.head.parameters():  # sharper than at random, so that answers differ from one another
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
