"""The caller of a request: which key it has, which project it works in, and what it may do."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from app.auth.scopes import ADMIN, SCOPES

DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `models` holds patterns of model names (`digits*`); None allows all models."""

    key_id: str
    project: str
    scopes: frozenset[str]
    models: tuple[str, ...] | None = None

    def has_scope(self, scope: str) -> bool:
        """Return whether this caller may use routes with this scope."""
        return scope in self.scopes or ADMIN in self.scopes

    def may_use_model(self, name: str) -> bool:
        """Return whether the patterns of this caller match the name of a model."""
        return self.models is None or any(fnmatchcase(name, pattern) for pattern in self.models)


LOCAL = Caller("local", DEFAULT_PROJECT, frozenset(SCOPES))
"""The caller of every request when keys are not required."""
