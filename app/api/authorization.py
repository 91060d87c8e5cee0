"""Authorization of routes: every route names the scope that its callers need, or is open to everybody.

`dependencies=[requires("models:delete")]` protects a route, and `CallerDep` gives its caller.
`dependencies=[OPEN]` lets everybody in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, params

from app.api.deps import error_responses
from app.auth.caller import LOCAL, Caller
from app.auth.scopes import SCOPES
from app.errors import Forbidden, Unauthenticated


async def get_caller(request: Request) -> Caller:
    """Return the caller of this request."""
    return LOCAL


CallerDep = Annotated[Caller, Depends(get_caller)]


@dataclass(frozen=True, slots=True)
class Requirement:
    """The dependency of a protected route."""

    scope: str

    async def __call__(self, caller: CallerDep) -> None:
        """Raise Forbidden if the caller's key lacks the scope."""
        if not caller.has_scope(self.scope):
            raise Forbidden(f"This key lacks the scope `{self.scope}`. Use a key that has it.")


def requires(scope: str) -> params.Depends:
    """Return the dependency of a route whose callers need this scope (`app.auth.scopes`)."""
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}")
    return params.Depends(Requirement(scope))


async def _let_everybody_in() -> None:
    pass


OPEN = params.Depends(_let_everybody_in)
"""The dependency of a route that needs no key."""


def declared_scope(dependencies: Sequence[params.Depends]) -> str | None:
    """Return the scope of a route, "" if it is open, None if it declares neither."""
    for dependency in dependencies:
        if isinstance(dependency.dependency, Requirement):
            return dependency.dependency.scope
        if dependency is OPEN:
            return ""
    return None


def document_scope(operation: dict[str, Any], scope: str) -> None:
    """Add the scope to an operation of the OpenAPI document, as `security` and `x-required-scope`."""
    operation["security"] = [{"bearer": []}] if scope else []
    if scope:
        operation["x-required-scope"] = scope
        for status, response in error_responses(Unauthenticated, Forbidden).items():
            operation["responses"].setdefault(str(status), response)
