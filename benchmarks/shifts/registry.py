"""All datasets and shifts. A new dataset is an entry of a module in `sources`."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from benchmarks.shifts import sources
from benchmarks.shifts.rows import Dataset, Shift


def all_datasets(data: Path) -> list[Dataset]:
    """Return the datasets of all installed packages, and those of the folder `data`."""
    modules = [import_module(f"{sources.__name__}.{module.name}") for module in iter_modules(sources.__path__)]
    return [dataset for module in modules for dataset in module.datasets(data)]


def all_shifts(data: Path) -> list[Shift]:
    """Return all shifts, those of different datasets in turn."""
    shifts = [Shift(dataset, name) for dataset in all_datasets(data) for name in dataset.changes]
    return sorted(shifts, key=lambda shift: (list(shift.dataset.changes).index(shift.name), shift.dataset.name))
