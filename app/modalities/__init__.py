"""Catalogue of modalities: the folder is the registry, and a module's name is the modality's name."""

from importlib import import_module
from pkgutil import iter_modules

from app.modalities.base import Modality

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

MODALITIES: dict[str, Modality] = {cls.name: cls() for cls in sorted(Modality.__subclasses__(), key=lambda cls: cls.__module__)}
