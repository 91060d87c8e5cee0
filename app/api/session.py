"""The sign-in of the web UI: its API key in a cookie that scripts cannot read.

Decision: the cookie holds the key itself. Context: a browser must send a credential with downloads and event streams too.
Consequences: no table of sessions, and a revoked key ends its sessions. The cookie is `SameSite=Strict`, requests that change
something need a header that other origins cannot add, and the origin policy refuses requests of their pages anyway.
Alternatives: a session id in the database, which is one more query and one more thing to expire.
"""

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.authorization import OPEN, SESSION_COOKIE, header_of
from app.api.deps import RequireJson, error_responses
from app.auth.caller import Caller
from app.auth.grants import Grants
from app.errors import InvalidRequest, Unauthenticated, UnsupportedContentType, UploadTooLarge

router = APIRouter(prefix="/session", tags=["session"])


class SignIn(BaseModel):
    """The key to sign in with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(max_length=200, pattern=r"^[!-~]+$", repr=False)


class SessionOut(BaseModel):
    """Whether this service needs keys, and who is signed in."""

    keys_needed: bool
    key: str | None = Field(description="Id of the key; null without a sign-in.")
    project: str | None
    scopes: list[str]

    @classmethod
    def of(cls, caller: Caller | None, keys_needed: bool) -> "SessionOut":
        """Build the response for a caller."""
        if caller is None:
            return cls(keys_needed=keys_needed, key=None, project=None, scopes=[])
        return cls(keys_needed=keys_needed, key=caller.key_id, project=caller.project, scopes=sorted(caller.scopes))


@router.get("", dependencies=[OPEN])
async def get_session(request: Request) -> SessionOut:
    """Return whether the service needs keys, and who is signed in."""
    grants: Grants = request.app.state.grants
    try:
        caller = await _caller(grants, header_of(request))
    except Unauthenticated:
        caller = None
    return SessionOut.of(caller, grants.keys_needed)


@router.post(
    "",
    dependencies=[OPEN, RequireJson],
    responses=error_responses(Unauthenticated, InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
async def sign_in(request: Request, response: Response, body: SignIn) -> SessionOut:
    """Check a key and keep it in a cookie of the browser."""
    grants: Grants = request.app.state.grants
    caller = await _caller(grants, f"Bearer {body.key}".encode())
    is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(SESSION_COOKIE, body.key, httponly=True, samesite="strict", secure=is_secure)
    return SessionOut.of(caller, grants.keys_needed)


@router.delete("", dependencies=[OPEN], status_code=204)
async def sign_out(response: Response) -> None:
    """Delete the cookie."""
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")


async def _caller(grants: Grants, header: bytes | None) -> Caller:
    known = grants.get(header)
    if known is None:
        known = await asyncio.get_running_loop().run_in_executor(grants.threads, grants.check, header)
    return known.caller
