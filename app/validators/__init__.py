"""Catalogue of validators: scores that select a network without target labels.

The folder is the registry, a module's name is the validator's name, and its docstring is the catalogue entry: a summary, and
the paper in the last line. A new validator is a new file here and one of the same name in `worker.validators`.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated

from pydantic import AfterValidator, Field

VALIDATORS: dict[str, str] = {
    module.name: (import_module(f"{__name__}.{module.name}").__doc__ or "").strip() for module in iter_modules(__path__)
}


def _check_name(name: str) -> str:
    if name not in VALIDATORS:
        raise ValueError(f"there is no validator {name[:100]!r}; expected one of {', '.join(VALIDATORS)}")
    return name


ValidatorName = Annotated[str, AfterValidator(_check_name), Field(json_schema_extra={"enum": sorted(VALIDATORS)})]
