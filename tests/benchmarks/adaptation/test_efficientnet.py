from importlib.util import find_spec
from pathlib import Path

import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional as F
from transformers import EfficientNetModel

from benchmarks.adaptation import efficientnet

BELL_COTE, STUPA = 442, 832


def test_converted_network_recognises_a_temple(tmp_path: Path) -> None:
    folder = efficientnet.checkpoint(tmp_path / "lite0")
    assert folder is not None
    network = EfficientNetModel.from_pretrained(folder)  # in evaluation mode
    image = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None] / 255
    small = F.interpolate(image, (efficientnet.IMAGE_SIZE, efficientnet.IMAGE_SIZE), mode="bilinear", antialias=True)
    with torch.no_grad():
        features = network((small - efficientnet.MEAN) / efficientnet.DEVIATION).last_hidden_state.mean((2, 3))
    logits = F.linear(features, *classifier())
    assert set(logits.topk(2).indices[0].tolist()) == {BELL_COTE, STUPA}
    assert efficientnet.checkpoint(folder) == folder


def classifier() -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and biases of ImageNet's classes, which the checkpoint leaves out."""
    package = find_spec(efficientnet.PACKAGE)
    assert package is not None
    assert package.origin is not None
    weights = torch.load(next(Path(package.origin).parent.rglob("*.pth")), weights_only=True)
    return weights["_fc.weight"], weights["_fc.bias"]
