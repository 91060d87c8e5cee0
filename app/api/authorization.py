"""Authorization of routes: every route names the scope that its callers need, or is open to everybody.

`dependencies=[requires("models:delete")]` protects a route, and `CallerDep` gives its caller. `dependencies=[OPEN]` lets all in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, params

from app.auth.audit import Actor
from app.auth.caller import Caller
from app.auth.grants import Grant, Grants
from app.auth.refusals import Refusals
from app.auth.scopes import SCOPES
from app.errors import Forbidden, ServiceError, Unauthenticated

_SCOPES_OF_MODELS = "models:", "artifacts:"


async def get_caller(request: Request) -> Caller:
    """Return the caller of this request. Raises Unauthenticated, RateLimited."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    grants: Grants = request.app.state.grants
    given = request.headers.get("authorization")
    header = None if given is None else given.encode("latin-1")
    grant = grants.get(header)
    if grant is None:
        grant = await _check(request, grants, header)
    if grant.bucket is not None:
        grant.bucket.require()
    grant.is_used = True
    request.state.caller = grant.caller
    return grant.caller


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_actor(request: Request, caller: CallerDep) -> Actor:
    """Return whom the audit log names for this request."""
    return actor_of(request, caller.key_id, caller.project)


def actor_of(request: Request, key_id: str, project: str) -> Actor:
    """Return the entry's author with the id and the address of the request."""
    return Actor(key_id, project, getattr(request.state, "request_id", None), request.client.host if request.client else None)


ActorDep = Annotated[Actor, Depends(get_actor)]


@dataclass(frozen=True, slots=True)
class Requirement:
    """The dependency of a protected route."""

    scope: str

    async def __call__(self, request: Request, caller: CallerDep) -> None:
        """Raise Forbidden if the caller's key lacks the scope, or may not use the model in the path."""
        try:
            caller.require_scope(self.scope)
            if self.scope.startswith(_SCOPES_OF_MODELS) and "name" in request.path_params:
                caller.require_model(request.path_params["name"])
        except Forbidden as error:
            await _record_refusal(request, caller, error)
            raise


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


async def _check(request: Request, grants: Grants, header: bytes | None) -> Grant:
    try:
        return await asyncio.get_running_loop().run_in_executor(grants.threads, grants.check, header)
    except Unauthenticated as error:
        await _record_refusal(request, None, error)
        raise


async def _record_refusal(request: Request, caller: Caller | None, error: ServiceError) -> None:
    """Add the refusal to the audit log."""
    refusals: Refusals = request.app.state.refusals
    actor = actor_of(request, caller.key_id if caller else "", caller.project if caller else "")
    if refusals.is_due(actor.address or ""):
        target = f"{request.method} {request.url.path}"
        grants: Grants = request.app.state.grants
        await asyncio.get_running_loop().run_in_executor(grants.threads, refusals.record, actor, error.code(), target)
