"""The catalogue of algorithms: the folder is the registry, a module's name is the algorithm's name.

A new algorithm is a new file here (what a caller may say) and one of the same name in `worker.algorithms` (what it does).
"""

from functools import reduce
from importlib import import_module
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from app.algorithms.base import AlgorithmParams

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

PARAMS: dict[str, type[AlgorithmParams]] = {
    cls.__module__.rpartition(".")[2]: cls for cls in sorted(AlgorithmParams.__subclasses__(), key=lambda cls: cls.__module__)
}

if TYPE_CHECKING:
    AnyParams = AlgorithmParams
else:
    _union: Any = reduce(or_, PARAMS.values())
    AnyParams = Annotated[_union, Field(discriminator="algorithm")] if len(PARAMS) > 1 else _union
