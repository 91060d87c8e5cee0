"""The catalogue of networks: the folder is the registry, a module's name is the network's name.

A new network is a new file here (what a caller may say) and one of the same name in `worker.networks` (the torch module).
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
    """The network of a job that names none."""
    return next(cls.model_validate({"network": name}) for name, cls in NETWORKS.items() if modality in cls.default_for)


def pretrained_network(modality: str, pretrained: str) -> NetworkParams:
    """The network of a job that names a checkpoint alone; one for other data where there is none for this modality."""
    kinds = [name for name, cls in NETWORKS.items() if cls.pretrained_for]
    name = max(kinds, key=lambda name: modality in NETWORKS[name].pretrained_for)
    return NETWORKS[name].model_validate({"network": name, "pretrained": pretrained})
