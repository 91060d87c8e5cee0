"""The rules of models: references, versions, aliases, artifacts.

`app.model_reference` defines what a reference means.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, Select, and_, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, defer, selectinload

from app.auth import audit
from app.db.registry_revision import bump_revision
from app.db.session import db_now
from app.db.tables import AliasRow, ArtifactRow, ModelRow, VersionRow
from app.db.views import ModelOverview
from app.errors import ArtifactNotFound, ModelNotFound
from app.model_reference import MAX_VERSION_NUMBER, PRODUCTION, REFERENCE, is_valid_name
from app.services import pagination, webhook_events


def resolve(session: Session, reference: str) -> VersionRow:
    """Return the version that `digits`, `digits:3` or `digits@production` refers to now. Raise ModelNotFound."""
    parts = REFERENCE.fullmatch(reference)
    row = _find(session, **parts.groupdict()) if parts else None
    if row is None:
        raise ModelNotFound(f"There is no model version {reference[:220]!r}.")
    return row


def _find(session: Session, name: str, number: str | None, alias: str | None) -> VersionRow | None:
    """Return the version of a parsed reference. Without number and alias it is `@production`, or else the newest."""
    if number is None and alias is None:
        production = session.scalars(_referenced(name, None, PRODUCTION)).first()
        if production is not None:
            return production
    return session.scalars(_referenced(name, number, alias)).first()


def _referenced(name: str, number: str | None, alias: str | None) -> Select[VersionRow]:
    newest_first = select(VersionRow).join(VersionRow.model).order_by(VersionRow.number.desc()).limit(1)
    query = newest_first.where(ModelRow.name == name)
    if number is not None:
        return query.where(VersionRow.number == min(int(number), MAX_VERSION_NUMBER))
    if alias is not None:
        return query.join(AliasRow, AliasRow.version_id == VersionRow.id).where(AliasRow.name == alias)
    return query


def page(session: Session, limit: int, after: str | None) -> tuple[list[ModelOverview], str | None]:
    """Return one page of models, newest first, and the cursor of the next one."""
    rows, following = pagination.page(session, _models(), ModelRow, limit, after)
    return _overviews(session, rows), following


def overview(session: Session, name: str) -> ModelOverview:
    """Return one model with its newest version. Raise ModelNotFound."""
    return _overviews(session, [get(session, name)])[0]


def get(session: Session, name: str) -> ModelRow:
    """Return one model. Raise ModelNotFound."""
    model = session.scalars(_models().where(ModelRow.name == name)).one_or_none() if is_valid_name(name) else None
    if model is None:
        raise ModelNotFound(f"There is no model {name[:100]!r}.")
    return model


def _models() -> Select[ModelRow]:
    return select(ModelRow).options(selectinload(ModelRow.aliases).joinedload(AliasRow.version))


def _overviews(session: Session, rows: Sequence[ModelRow]) -> list[ModelOverview]:
    """Return all overviews with one query, without the versions' manifests."""
    of_model = VersionRow.model_id
    counted = select(of_model, func.max(VersionRow.number).label("newest"), func.count().label("count")).group_by(of_model)
    counts = counted.where(of_model.in_([row.id for row in rows])).subquery()
    is_newest = and_(of_model == counts.c.model_id, VersionRow.number == counts.c.newest)
    query = select(VersionRow, counts.c.count).join(counts, is_newest).options(defer(VersionRow.manifest))
    newest = {version.model_id: (version, count) for version, count in session.execute(query)}
    return [ModelOverview(row, *newest[row.id]) for row in rows]


def versions(session: Session, name: str, limit: int, after: str | None) -> tuple[Sequence[VersionRow], str | None]:
    """Return one page of a model's versions, newest first, and the cursor of the next one. Raise ModelNotFound."""
    query = select(VersionRow).where(VersionRow.model_id == get(session, name).id)
    if after is not None:
        query = query.where(VersionRow.number < pagination.decode(after, pagination.number)[0])
    query = query.options(defer(VersionRow.manifest)).order_by(VersionRow.number.desc())
    rows = session.scalars(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], pagination.encode(rows[limit - 1].number)


def index(session: Session) -> list[tuple[str, int]]:
    """Return name and number of every version, the newest model and its newest version first."""
    newest_first = (ModelRow.created_at.desc(), ModelRow.id, VersionRow.number.desc())
    query = select(ModelRow.name, VersionRow.number).join(VersionRow.model).order_by(*newest_first)
    return [(name, number) for name, number in session.execute(query)]


def version(session: Session, name: str, number: int) -> VersionRow:
    """Return one version. Raise ModelNotFound."""
    return resolve(session, f"{name}:{number}")


def artifact(session: Session, name: str, number: int, file: str) -> ArtifactRow:
    """Return a stored file of a version. Raise ModelNotFound, ArtifactNotFound."""
    owner = version(session, name, number)
    for row in owner.artifacts:
        if row.name == file:
            return row
    names = ", ".join(row.name for row in owner.artifacts)
    raise ArtifactNotFound(f"Version {number} of {name} has no artifact {file[:100]!r}, only {names}.")


def set_alias(session: Session, name: str, alias: str, number: int) -> AliasRow:
    """Point an alias at a version, in one statement: readers see either the old version or the new one.

    Raise ModelNotFound if there is no such version.
    """
    owner = version(session, name, number)
    previous = _alias_target(session, owner.model_id, alias)
    columns = {"model_id": owner.model_id, "name": alias, "version_id": owner.id, "updated_at": db_now()}
    moved = {"version_id": owner.id, "updated_at": db_now()}
    statement = _alias_upsert(session, columns, moved).returning(AliasRow)
    row = session.scalars(statement.execution_options(populate_existing=True)).one()
    if previous != number:
        webhook_events.alias_moved(session, owner.model, alias, previous, number)
    audit.record(session, "alias.set", f"models/{name}/aliases/{alias} version {number}")
    bump_revision(session)
    return row


def _alias_target(session: Session, model_id: UUID, alias: str) -> int | None:
    """Return the number of the version that an alias points to, None without such an alias."""
    query = select(VersionRow.number).join(AliasRow, AliasRow.version_id == VersionRow.id)
    return session.scalar(query.where(AliasRow.model_id == model_id, AliasRow.name == alias))


def _alias_upsert(session: Session, columns: dict[str, Any], moved: dict[str, Any]) -> Insert:
    key = ["model_id", "name"]
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(AliasRow).values(columns).on_conflict_do_update(index_elements=key, set_=moved)
    return sqlite.insert(AliasRow).values(columns).on_conflict_do_update(index_elements=key, set_=moved)


def delete_alias(session: Session, name: str, alias: str) -> None:
    """Delete an alias. Raise ModelNotFound if the model has no such alias."""
    model = get(session, name)
    previous = _alias_target(session, model.id, alias) if is_valid_name(alias) else None
    statement = delete(AliasRow).where(AliasRow.model_id == model.id, AliasRow.name == alias).returning(AliasRow.name)
    if not is_valid_name(alias) or session.scalars(statement).one_or_none() is None:
        raise ModelNotFound(f"The model {name} has no alias {alias[:100]!r}.")
    webhook_events.alias_moved(session, model, alias, previous, None)
    audit.record(session, "alias.delete", f"models/{name}/aliases/{alias}")
    bump_revision(session)
