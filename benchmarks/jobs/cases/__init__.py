"""The cases of all modules of this package: each has a list `CASES`."""

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.jobs.case import Case


def all_cases() -> dict[str, Case]:
    """Return all cases by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {case.name: case for module in modules for case in module.CASES}
