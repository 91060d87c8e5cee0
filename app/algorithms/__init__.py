"""Catalogue of algorithms: the folder is the registry, and a module's name is the algorithm's name.

A new algorithm is a new file here, with its parameters, and one of the same name in `worker.algorithms`, with its losses.
"""

from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from app.algorithms.base import AlgorithmParams


def _params(name: str) -> type[AlgorithmParams]:
    """Return the parameter class that the module defines."""
    module = import_module(f"{__name__}.{name}")
    classes = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    return next(cls for cls in classes if issubclass(cls, AlgorithmParams))


PARAMS: dict[str, type[AlgorithmParams]] = {
    module.name: _params(module.name) for module in iter_modules(__path__) if module.name != "base"
}

if TYPE_CHECKING:
    AnyParams = AlgorithmParams
else:
    _union: Any = reduce(or_, PARAMS.values())
    AnyParams = Annotated[_union, Field(discriminator="algorithm")] if len(PARAMS) > 1 else _union
