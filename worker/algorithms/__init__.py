"""The algorithms: the folder is the registry, a module's name is the algorithm's name in `app.algorithms`."""

from importlib import import_module

from app.algorithms.base import AlgorithmParams
from worker.algorithms.base import Algorithm
from worker.networks.base import Network


def build(params: AlgorithmParams, network: Network, classes: int) -> Algorithm:
    """The algorithm that these parameters name; what it trains besides the network is initialised from torch's random state."""
    module = import_module(f"{__name__}.{params.algorithm}")
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    kind = next(cls for cls in own if issubclass(cls, Algorithm))
    return kind(network, params, classes)
