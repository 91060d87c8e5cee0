"""The same images give the same encoded arrays, whichever depth, format and archive they are written in."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.modalities import MODALITIES
from app.networks.cnn import CnnParams
from tests.support.dataset_reading import dataset, joined
from tests.support.factories import npz_bytes, zip_bytes

IMAGE = MODALITIES["image"]
Pixels = NDArray[np.uint8]
DEPTHS: dict[str, Callable[[Pixels], NDArray[Any]]] = {
    "8 bits": lambda pixels: pixels,
    "12 bits in 16": lambda pixels: pixels.astype(np.uint16) * 16,
    "16 bits": lambda pixels: pixels.astype(np.uint16) * 257,
}
SIDES = st.tuples(st.integers(3, 24), st.integers(3, 24))


@st.composite
def images(draw: st.DrawFn) -> list[Pixels]:
    """Draw images of several sizes, each with the smallest and the largest value."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    same_size = draw(st.none() | SIDES)
    found = []
    for _ in range(draw(st.integers(2, 4))):
        pixels = random.integers(0, 256, same_size or draw(SIDES), dtype=np.uint8)
        pixels[0, :2] = 0, 255
        found.append(pixels)
    return found


def saved(values: NDArray[Any], format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format)
    return buffer.getvalue()


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def uploads(found: list[NDArray[Any]]) -> dict[str, bytes]:
    """Return the images as files by name: both archives, both formats, folders of classes, and an array."""
    files: dict[str, bytes] = {}
    for suffix, format in ((".png", "PNG"), (".tif", "TIFF")):
        members = {f"{n % 2}/{n}{suffix}": saved(values, format) for n, values in enumerate(found)}
        files |= {f"{format}.zip": zip_bytes(members), f"{format}.tar.gz": tar_bytes(members)}
    if len({values.shape for values in found}) == 1:
        files["array.npz"] = npz_bytes(x=np.stack(found), y=np.arange(len(found)) % 2)
    return files


def encoded(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Return the class and the encoded pixels of each image, sorted."""
    with TemporaryDirectory() as folder:
        file = dataset(Path(folder), name, content, "image")
        fitted = IMAGE.fit(IMAGE.chunks(file), (), CnnParams(input_size=16), None, Path(folder))
        encode, chunks = IMAGE.encoder(fitted, Path(folder)), list(IMAGE.chunks(file))
    pixels = joined([encode(chunk.inputs) for chunk in chunks])["pixels"]
    labels = [str(label) for chunk in chunks for label in chunk.labels or ()]
    return sorted((label, image.tobytes()) for label, image in zip(labels, pixels, strict=True))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(found=images())
def test_every_depth_and_format_gives_the_same_arrays(found: list[Pixels]) -> None:
    results = {
        (depth, name): encoded(name, content)
        for depth, deepen in DEPTHS.items()
        for name, content in uploads([deepen(pixels) for pixels in found]).items()
    }
    expected = results["8 bits", "PNG.zip"]
    assert [key for key, result in results.items() if result != expected] == []
