"""The algorithms. The folder is the registry: a module has the name of its algorithm in `app.algorithms`."""

from importlib import import_module

from app.algorithms.base import AlgorithmParams
from worker.algorithms.base import Algorithm, PlainMethod
from worker.networks.base import Network


def implementation(name: str) -> type[Algorithm] | type[PlainMethod]:
    """Return the class of the algorithm with this name."""
    module = import_module(f"{__name__}.{name}")
    classes = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    return next(cls for cls in classes if issubclass(cls, Algorithm | PlainMethod))


def build(params: AlgorithmParams, network: Network, classes: int) -> Algorithm:
    """Build the algorithm of these parameters. Its own layers are initialised from torch's random state."""
    cls = implementation(params.algorithm)
    assert issubclass(cls, Algorithm)
    return cls(network, params, classes)


def plain_method(params: AlgorithmParams) -> PlainMethod:
    """Return the plain method of these parameters."""
    cls = implementation(params.algorithm)
    assert issubclass(cls, PlainMethod)
    return cls(params)
