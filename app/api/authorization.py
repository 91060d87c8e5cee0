"""Authorization of routes: every route names the scope that its callers need, or is open to everybody.

`dependencies=[requires("models:delete")]` protects a route, and `CallerDep` gives its caller. `dependencies=[OPEN]` lets all in.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, params

from app.auth.audit import Actor
from app.auth.caller import Caller
from app.auth.caller_limits import CallerLimits
from app.auth.grants import Grant, Grants
from app.auth.refusals import Refusals
from app.auth.scopes import SCOPES
from app.db.outages import OUTAGE_ERRORS
from app.errors import ServiceError, Unauthenticated

SESSION_COOKIE = "isthmus_key"
UI_HEADER = "x-isthmus-ui"
_SCOPES_OF_MODELS = "models:", "artifacts:", "labels:"


async def get_caller(request: Request) -> Caller:
    """Return the caller of this request. Raises Unauthenticated, RateLimited."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    grant = await _find_grant(request)
    grant.limits.require_request()
    grant.is_used = True
    request.state.caller, request.state.limits, request.state.grant = grant.caller, grant.limits, grant
    return grant.caller


CallerDep = Annotated[Caller, Depends(get_caller)]


async def check_again(request: Request) -> None:
    """Raise Unauthenticated if the key of a long request was revoked or has expired since it began."""
    if not request.state.grant.is_valid:
        request.state.grant = await _find_grant(request)


async def may_read_on(request: Request) -> bool:
    """Return whether the key of a stream is still valid. The client of one that ends connects again, and gets 401."""
    try:
        await check_again(request)
    except (Unauthenticated, *OUTAGE_ERRORS):
        return False
    return True


def header_of(request: Request) -> bytes | None:
    """Return the `Authorization` header of a request; for one of the web UI, that of the key in its cookie.

    Browsers send the cookie by themselves. A page of another origin cannot add the header that must come with it.
    """
    given = request.headers.get("authorization")
    if given is None and SESSION_COOKIE in request.cookies and _is_of_ui(request):
        given = f"Bearer {request.cookies[SESSION_COOKIE]}"
    return None if given is None else given.encode("latin-1", "replace")


def _is_of_ui(request: Request) -> bool:
    """Return whether a request with a cookie comes from the UI. Links and event streams cannot have the header, and only read."""
    return UI_HEADER in request.headers or request.method in ("GET", "HEAD")


async def _find_grant(request: Request) -> Grant:
    """Return the grant of a request; ask the database for a header that is not known. Raise Unauthenticated."""
    grants: Grants = request.app.state.grants
    header = header_of(request)
    known = grants.get(header)
    if known is not None:
        return known
    return await asyncio.get_running_loop().run_in_executor(grants.threads, grants.check, header)


async def get_limits(request: Request, caller: CallerDep) -> CallerLimits:
    """Return what the caller may use of this server."""
    limits: CallerLimits = request.state.limits
    return limits


LimitsDep = Annotated[CallerLimits, Depends(get_limits)]


async def _hold_stream(limits: LimitsDep) -> AsyncIterator[None]:
    with limits.streams.held():
        yield


HOLDS_STREAM = Depends(_hold_stream)
"""The dependency of a route that holds one of the caller's streams until its response has ended."""


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
        caller.require_scope(self.scope)
        if self.scope.startswith(_SCOPES_OF_MODELS) and "name" in request.path_params:
            caller.require_model(request.path_params["name"])


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


async def record_refusal(request: Request, error: ServiceError) -> None:
    """Add a refused request to the audit log."""
    refusals: Refusals = request.app.state.refusals
    caller: Caller | None = getattr(request.state, "caller", None)
    actor = actor_of(request, caller.key_id if caller else "", caller.project if caller else "")
    if refusals.is_due(actor.address or ""):
        target = f"{request.method} {request.url.path}"
        grants: Grants = request.app.state.grants
        await asyncio.get_running_loop().run_in_executor(grants.threads, refusals.record, actor, error.code(), target)
