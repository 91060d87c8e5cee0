"""One attack in each module: `run(target)` attacks the service, for a bounded time, and returns what happened in a few words."""

from importlib import import_module

from benchmarks.resilience.service import Target


def load(name: str) -> None:
    """Import an attack."""
    import_module(f"{__name__}.{name}")


def run(name: str, target: Target) -> str:
    """Run an attack."""
    outcome: str = import_module(f"{__name__}.{name}").run(target)
    return outcome
