"""The demo's data, made from scikit-learn's datasets: handwritten digits, and digits on photographs.

Digits on photographs follow MNIST-M (Ganin et al. 2016, https://arxiv.org/abs/1505.07818): the absolute difference of a digit
and a random crop of a photograph.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

SIDE = 28
Images = NDArray[np.uint8]  # (N, SIDE, SIDE, 3)
Labels = NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class Data:
    """Three datasets of different digits."""

    source: tuple[Images, Labels]
    target: Images
    evaluation: tuple[Images, Labels]


def make(seed: int, source_digits: int = 800, target_digits: int = 700, copies: int = 12) -> Data:
    """Make digits as the source, other digits on photographs as the target, and the rest as a labelled hold-out.

    Each digit of source and target occurs `copies` times: shifted by some pixels and on another crop. With fewer copies the
    networks overfit, and DANN gains much less.
    """
    random = np.random.default_rng(seed)
    images, labels = _digits(random)
    source, target, evaluation = np.split(np.arange(len(images)), [source_digits, source_digits + target_digits])
    source, target = np.tile(source, copies), np.tile(target, copies)
    photographs = [_shrunk(photograph) for photograph in load_sample_images().images]
    return Data(
        source=(_shifted(images[source], random), labels[source]),
        target=_blended(_shifted(images[target], random), photographs, random),
        evaluation=(_blended(_shifted(images[evaluation], random), photographs, random), labels[evaluation]),
    )


def npz(images: Images, labels: Labels | None = None) -> bytes:
    """Return the content of an npz file to upload."""
    buffer = io.BytesIO()
    arrays = {"x": images} if labels is None else {"x": images, "y": labels}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def pillow(image: Images) -> Image.Image:
    """Return an image of Pillow, as a user has it."""
    return Image.fromarray(image)


def _digits(random: np.random.Generator) -> tuple[Images, Labels]:
    """Return all digits in random order, enlarged from 8x8 greys of 0 to 16 to SIDE x SIDE RGB."""
    images, labels = load_digits(return_X_y=True)
    order = random.permutation(len(labels))
    greys = np.clip(images[order].reshape(-1, 8, 8) * 16, 0, 255).astype(np.uint8)
    enlarged = [Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB") for grey in greys]
    return np.stack([np.asarray(image) for image in enlarged]), labels[order].astype(np.int64)


def _shrunk(photograph: Images) -> Images:
    """Halve the size, so that a crop shows more than one leaf or tile."""
    height, width, _ = photograph.shape
    return np.asarray(Image.fromarray(photograph).resize((width // 2, height // 2)))


def _shifted(images: Images, random: np.random.Generator, reach: int = 2) -> Images:
    """Shift each image by up to `reach` pixels and fill with black."""
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    corners = random.integers(0, 2 * reach + 1, (len(images), 2))
    return np.stack([image[y : y + SIDE, x : x + SIDE] for image, (y, x) in zip(padded, corners, strict=True)])


def _blended(images: Images, photographs: list[Images], random: np.random.Generator) -> Images:
    crops = np.stack([_crop(photographs[random.integers(len(photographs))], random) for _ in images]).astype(np.int16)
    blended: Images = np.abs(crops - images).astype(np.uint8)
    return blended


def _crop(photograph: Images, random: np.random.Generator) -> Images:
    y, x = (int(random.integers(length - SIDE + 1)) for length in photograph.shape[:2])
    return photograph[y : y + SIDE, x : x + SIDE]
