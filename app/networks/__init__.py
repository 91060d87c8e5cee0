"""Catalogue of networks: the folder is the registry, and a module's name is the network's name.

A new network is a new file here, with its parameters, and one of the same name in `worker.networks`, with its torch module.
"""

from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from app.networks.base import NetworkParams, PlainKind

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


def plain_network(network: NetworkParams, modality: str, kind: PlainKind) -> NetworkParams | None:
    """Return the network of this kind for a job that names `network`, None if the data or the network permit none."""
    if network.is_frozen:
        return None if kind == "trees" else network.model_copy(update={"head": kind})
    name = "trees" if kind == "trees" else "linear"
    plain = NETWORKS[name].model_validate({"network": name} | ({"source_map": True} if kind == "aligned" else {}))
    has_columns = network.network in ("mlp", "linear", "trees")
    return plain if has_columns and modality in plain.modalities else None
