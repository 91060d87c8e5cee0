"""The networks: the folder is the registry, a module's name is the network's name in `app.networks`.

A new network is a new file with `build(params, preprocessing, specs, classes) -> Network`.
"""

from importlib import import_module
from typing import cast

from app.modalities.base import Preprocessing, TensorSpec
from app.networks.base import NetworkParams
from worker.networks.base import Network


def build(params: NetworkParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """A new network for these encoded inputs and this many classes, initialised from torch's random state."""
    module = import_module(f"{__name__}.{params.network}")
    return cast(Network, module.build(params, preprocessing, specs, classes))
