"""The caller of a request: which key it has, which project it works in, and what it may do."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.auth.scopes import ADMIN, SCOPES
from app.db.projects import MODELS, PROJECT
from app.errors import Forbidden
from app.model_reference import DEFAULT_PROJECT

MAX_DECISIONS = 1000


@dataclass(frozen=True)
class Caller:
    """Who sent a request. `models` holds patterns of model names (`digits*`); None allows all models."""

    key_id: str
    project: str
    scopes: frozenset[str]
    models: tuple[str, ...] | None = None

    def has_scope(self, scope: str) -> bool:
        """Return whether this caller may use routes with this scope."""
        return scope in self.scopes or ADMIN in self.scopes

    def require_scope(self, scope: str) -> None:
        """Raise Forbidden if this caller lacks a scope."""
        if not self.has_scope(scope):
            raise Forbidden(f"This key lacks the scope `{scope}`. Use a key that has it.")

    def may_use_model(self, name: str) -> bool:
        """Return whether the patterns of this caller match the name of a model."""
        return self._models is None or self._models.fullmatch(name) is not None

    def may_use(self, reference: str) -> bool:
        """Return whether the patterns of this caller match the model of a reference. Repeated calls take a dict look-up."""
        known = self._decisions.get(reference)
        if known is None:
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            known = self._decisions[reference] = self.may_use_model(model_of(reference))
        return known

    def require_model(self, reference: str) -> None:
        """Raise Forbidden if the patterns of this caller do not match the model of a reference."""
        if not self.may_use_model(model_of(reference)):
            raise Forbidden(f"This key may not use the model {model_of(reference)[:100]!r}, only {', '.join(self.models or ())}.")

    @cached_property
    def session_info(self) -> dict[str, Any]:
        """Return the members of `Session.info` that restrict a session to what this caller may see."""
        return {PROJECT: self.project, MODELS: None if self._models is None else self._models.pattern}

    @cached_property
    def _decisions(self) -> dict[str, bool]:
        return {}

    @cached_property
    def _models(self) -> re.Pattern[str] | None:
        if self.models is None:
            return None
        patterns = (".*".join(map(re.escape, pattern.split("*"))) for pattern in self.models)
        return re.compile(f"^({'|'.join(patterns)})$")


def model_of(reference: str) -> str:
    """Return the name of the model in a reference."""
    return _SEPARATOR.split(reference, maxsplit=1)[0]


_SEPARATOR = re.compile("[:@]")
LOCAL = Caller("local", DEFAULT_PROJECT, frozenset(SCOPES))
"""The caller of every request when keys are not required."""
