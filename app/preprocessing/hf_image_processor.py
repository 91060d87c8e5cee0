"""The image preprocessing of a pretrained encoder, read from its `preprocessor_config.json`."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from app.errors import InvalidRequest
from app.formats.images import Resample

Sides = tuple[int, int]
Size = int | dict[str, int | None] | None

_RESAMPLE: dict[int, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


@dataclass(frozen=True, slots=True)
class ImageProcessorConfig:
    """Resize to `resize` (a number: the shorter side), crop `size` from the centre, then (x / 255 - mean) / std."""

    size: Sides
    resize: int | Sides
    resample: Resample
    mean: tuple[float, ...]
    std: tuple[float, ...]


class _ProcessorFile(BaseModel):
    """The fields that are read from the file, with the defaults of `transformers`."""

    image_processor_type: str = ""
    size: Size = None
    crop_size: Size = None
    crop_pct: float | None = None
    do_center_crop: bool | None = None
    do_normalize: bool = True
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    resample: int = 2
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def read(pretrained: Path) -> ImageProcessorConfig:
    """Read the config of a checkpoint. Raise InvalidRequest if the file is missing or not supported."""
    path = pretrained / "preprocessor_config.json"
    if not path.is_file():
        raise InvalidRequest("The pretrained image encoder has no preprocessor_config.json.")
    try:
        file = _ProcessorFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, problem["loc"])) or "the file" for problem in error.errors()}))
        raise InvalidRequest(f"The encoder's preprocessor_config.json is not supported: check {fields}.") from error
    size, resize = _geometry(file)
    mean, std = _normalization(file)
    return ImageProcessorConfig(size, resize, _RESAMPLE.get(file.resample, "bilinear"), mean, std)


def _geometry(file: _ProcessorFile) -> tuple[Sides, int | Sides]:
    """Return the size of the result and the size before the centre crop."""
    edge, exact = _edge(file.size), _exact(file.size)
    if edge and file.image_processor_type.startswith("ConvNext"):
        # ConvNext crops small sizes from an image enlarged by 1 / crop_pct, and stretches to large ones
        return (edge, edge), int(edge / (file.crop_pct or 224 / 256)) if edge < 384 else (edge, edge)
    cut = _exact(file.crop_size) or _square(_edge(file.crop_size)) if file.do_center_crop else None
    if isinstance(file.size, int) and cut is None:
        return (file.size, file.size), (file.size, file.size)
    resize, size = exact or edge, cut or exact or _square(edge)
    if resize is None or size is None:
        raise InvalidRequest("The encoder's preprocessor_config.json gives no image size.")
    return size, resize


def _normalization(file: _ProcessorFile) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation for pixels / 255, independent of the file's own scale."""
    if not file.do_normalize:
        return (0.0,) * 3, (1.0,) * 3
    scale = 255 * (file.rescale_factor if file.do_rescale else 1)
    return tuple(value / scale for value in file.image_mean), tuple(value / scale for value in file.image_std)


def _exact(size: Size) -> Sides | None:
    if not isinstance(size, dict):
        return None
    height, width = size.get("height"), size.get("width")
    return (height, width) if height and width else None


def _edge(size: Size) -> int | None:
    return size.get("shortest_edge") if isinstance(size, dict) else size


def _square(side: int | None) -> Sides | None:
    return (side, side) if side else None
