"""The networks. The folder is the registry: a module has the name of its network in `app.networks`.

A new network is a new file with `build(params, preprocessing, specs, classes) -> Network`. A module with pretrained networks
also has `local_checkpoint(pretrained) -> Path` and `self_contained_params(params)`. The latter returns parameters that build
the network again without the checkpoint.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

from app.modalities.base import Preprocessing, TensorSpec
from app.networks.base import NetworkParams
from worker.networks.base import Network


def build(params: NetworkParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build a network for these encoded inputs and classes, initialised from torch's random state."""
    return cast(Network, _module(params).build(params, preprocessing, specs, classes))


def checkpoint(params: NetworkParams) -> Path | None:
    """Return the local directory of the network's checkpoint, or None without one. Raise BadParameters."""
    pretrained = getattr(params, "pretrained", None)
    return cast(Path, _module(params).local_checkpoint(pretrained)) if pretrained else None


def self_contained_params(params: NetworkParams) -> NetworkParams:
    """Return the parameters for the manifest, which build the network without its checkpoint."""
    module = _module(params)
    return cast(NetworkParams, module.self_contained_params(params)) if hasattr(module, "self_contained_params") else params


def _module(params: NetworkParams) -> ModuleType:
    return import_module(f"{__name__}.{params.network}")
