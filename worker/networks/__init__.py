"""The networks: the folder is the registry, a module's name is the network's name in `app.networks`.

A new network is a new file with `build(params, preprocessing, specs, classes) -> Network`. A module whose networks start
from a checkpoint also has `local_checkpoint(pretrained) -> Path`, and `self_contained_params(params)`: what a manifest
keeps, so that the network is built again without the checkpoint.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

from app.modalities.base import Preprocessing, TensorSpec
from app.networks.base import NetworkParams
from worker.networks.base import Network


def build(params: NetworkParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """A new network for these encoded inputs and this many classes, initialised from torch's random state."""
    return cast(Network, _module(params).build(params, preprocessing, specs, classes))


def checkpoint(params: NetworkParams) -> Path | None:
    """The local directory of the checkpoint that the network starts from, if it starts from one. Raises BadParameters."""
    pretrained = getattr(params, "pretrained", None)
    return cast(Path, _module(params).local_checkpoint(pretrained)) if pretrained else None


def self_contained_params(params: NetworkParams) -> NetworkParams:
    """What a manifest keeps of the parameters."""
    module = _module(params)
    return cast(NetworkParams, module.self_contained_params(params)) if hasattr(module, "self_contained_params") else params


def _module(params: NetworkParams) -> ModuleType:
    return import_module(f"{__name__}.{params.network}")
