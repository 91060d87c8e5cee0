"""Catalogue of networks: the folder is the registry, and a module's name is the network's name.

A new network is a new file here, with its parameters, and one of the same name in `worker.networks`, with its torch module.
"""

from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from app.networks.base import NetworkParams

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

NETWORKS: dict[str, type[NetworkParams]] = {
    cls.__module__.rpartition(".")[2]: cls for cls in sorted(NetworkParams.__subclasses__(), key=lambda cls: cls.__module__)
}

if TYPE_CHECKING:
    AnyNetwork = NetworkParams
else:
    _union: Any = reduce(or_, NETWORKS.values())
    AnyNetwork = Annotated[_union, Field(discriminator="network")]


def default_network(modality: str) -> NetworkParams:
    """Return the network of a job that names none."""
    return next(cls.model_validate({"network": name}) for name, cls in NETWORKS.items() if modality in cls.default_for)


def pretrained_network(modality: str, pretrained: str) -> NetworkParams:
    """Return the network of a job that only names a checkpoint, of another modality if this one has no pretrained network."""
    names = [name for name, cls in NETWORKS.items() if cls.pretrained_for]
    name = max(names, key=lambda name: modality in NETWORKS[name].pretrained_for)
    return NETWORKS[name].model_validate({"network": name, "pretrained": pretrained})
