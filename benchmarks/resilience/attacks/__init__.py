"""One attack in each module: `run(target)` attacks the service, for a bounded time, and returns what happened in a few words.

A module may have a `SETTING` with what it needs.
"""

from importlib import import_module

from benchmarks.resilience.service import Setting, Target


def load(name: str) -> None:
    """Import an attack."""
    import_module(f"{__name__}.{name}")


def setting(name: str) -> Setting:
    """Return what an attack needs."""
    found: Setting = getattr(import_module(f"{__name__}.{name}"), "SETTING", Setting())
    return found


def run(name: str, target: Target) -> str:
    """Run an attack."""
    outcome: str = import_module(f"{__name__}.{name}").run(target)
    return outcome
