"""Training without the import of `torch._dynamo`, which takes more than a second and is used only to compile and to export.

Every optimizer of torch imports it, to keep itself from being compiled. A stand-in does nothing for the optimizers, and is
replaced by the real module as soon as anything else is asked of it.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import torch

NAME = "torch._dynamo"
Function = TypeVar("Function", bound=Callable[..., Any])


def delay_dynamo() -> None:
    """Delay the import of `torch._dynamo` until something else than an optimizer needs it."""
    if NAME not in sys.modules:
        sys.modules[NAME] = torch._dynamo = _StandIn(NAME)  # noqa: SLF001  # torch is bounded


class _StandIn(ModuleType):
    """The two functions that optimizers call when nothing is compiled; every other name loads the real module."""

    @staticmethod
    def disable(function: Function, recursive: bool = True, *, wrapping: bool = True) -> Function:
        return function

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Do nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
            del torch._dynamo  # noqa: SLF001  # likewise
        return getattr(import_module(NAME), name)
