"""The rules of API keys: creation, rotation, revocation, and the search for the key that a request sends."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.auth import audit, tokens
from app.auth.caller import Caller
from app.auth.scopes import ADMIN
from app.db.registry_revision import bump_revision
from app.db.session import db_now
from app.db.tables import ApiKeyRow
from app.errors import KeyNotFound, KeyRevoked
from app.model_reference import DEFAULT_PROJECT

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a new key allows. `models` None: all models; `expires_at` None: it does not expire."""

    name: str
    scopes: Sequence[str]
    project: str = DEFAULT_PROJECT
    models: Sequence[str] | None = None
    expires_at: datetime | None = None


def create(session: Session, rights: KeyRights) -> tuple[ApiKeyRow, str]:
    """Add a key; return its row and its text, which cannot be read again."""
    token = tokens.generate()
    row = ApiKeyRow(
        id=token.id,
        project=rights.project,
        name=rights.name,
        digest=tokens.digest_of(token.text),
        scopes=sorted(set(rights.scopes)),
        models=None if rights.models is None else list(rights.models),
        expires_at=rights.expires_at,
    )
    session.add(row)
    audit.record(session, "key.create", f"keys/{row.id} project {row.project}: {', '.join(row.scopes)}")
    session.flush()
    bump_revision(session)
    return row, token.text


def page(session: Session, limit: int, after: Sequence[object] | None = None) -> Sequence[ApiKeyRow]:
    """Return keys of all projects, newest first, revoked ones included; `after` is time and id of the last one before."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(ApiKeyRow.created_at, ApiKeyRow.id) < tuple_(*after))
    return session.scalars(query).all()


def get(session: Session, key_id: str) -> ApiKeyRow:
    """Return one key. Raise KeyNotFound."""
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise KeyNotFound(f"There is no key {key_id[:16]!r}.")
    return row


def revoke(session: Session, key_id: str) -> ApiKeyRow:
    """Revoke a key, within a second on all servers; repeat calls change nothing. Raise KeyNotFound."""
    row = get(session, key_id)
    if row.revoked_at is None:
        session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=db_now()))
        audit.record(session, "key.revoke", f"keys/{key_id} project {row.project}")
        bump_revision(session)
        session.refresh(row)
    return row


def rotate(session: Session, key_id: str) -> tuple[ApiKeyRow, str]:
    """Revoke a key and add one with the same rights; return its row and its text. Raise KeyNotFound, KeyRevoked."""
    if get(session, key_id).revoked_at is not None:
        raise KeyRevoked(f"Key {key_id} was revoked. Create a new key instead.")
    old = revoke(session, key_id)
    return create(session, KeyRights(old.name, old.scopes, old.project, old.models, old.expires_at))


def find(session: Session, text: str) -> ApiKeyRow | None:
    """Return the usable key with this text."""
    key_id = tokens.id_of(text)
    row = session.scalars(select(ApiKeyRow).where(ApiKeyRow.id == key_id, *_usable())).one_or_none() if key_id else None
    return row if row is not None and hmac.compare_digest(row.digest, tokens.digest_of(text)) else None


def usable_ids(session: Session, key_ids: Sequence[str]) -> set[str]:
    """Return those of these keys that are neither revoked nor expired."""
    return set(session.scalars(select(ApiKeyRow.id).where(ApiKeyRow.id.in_(key_ids), *_usable())))


def has_any(session: Session) -> bool:
    """Return whether any key can be used."""
    return session.scalars(select(ApiKeyRow.id).where(*_usable()).limit(1)).first() is not None


def note_use(session: Session, key_ids: Sequence[str]) -> None:
    """Set the time of the last use to now."""
    session.execute(update(ApiKeyRow).where(ApiKeyRow.id.in_(key_ids)).values(last_used_at=db_now()))


def store_admin_key(session: Session, text: str) -> None:
    """Make `text` the secret of the key `admin`, in place of an earlier one. A revoked secret stays revoked."""
    digest = tokens.digest_of(text)
    row = session.get(ApiKeyRow, tokens.ADMIN_KEY_ID)
    if row is None:
        row = ApiKeyRow(id=tokens.ADMIN_KEY_ID, project=DEFAULT_PROJECT, name="ISTHMUS_ADMIN_KEY", scopes=[ADMIN])
        session.add(row)
    elif row.digest == digest:
        if row.revoked_at is not None:
            log.warning("keys.admin_key_is_revoked", advice="Set another ISTHMUS_ADMIN_KEY, or run `isthmus keys create`.")
        return
    row.digest, row.revoked_at = digest, None
    audit.record(session, "key.set", f"keys/{row.id} project {row.project}: {ADMIN}")
    session.flush()
    bump_revision(session)


def caller_of(row: ApiKeyRow) -> Caller:
    """Return the caller that a key identifies."""
    return Caller(row.id, row.project, frozenset(row.scopes), None if row.models is None else tuple(row.models))


def _usable() -> tuple[ColumnElement[bool], ...]:
    return ApiKeyRow.revoked_at.is_(None), or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > db_now())
