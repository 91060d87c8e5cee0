"""The rules of models: references, versions, aliases, artifacts.

`app.model_reference` defines what a reference means.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, Select, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer, selectinload

from app.auth import audit
from app.db.label_tables import LabelRequestRow
from app.db.registry_revision import bump_revision
from app.db.session import db_now
from app.db.tables import AliasRow, ArtifactRow, JobRow, ModelRow, VersionRow
from app.db.views import ModelOverview
from app.errors import ArtifactNotFound, FieldError, ModelInUse, ModelNameTaken, ModelNotFound
from app.job_state import ACTIVE
from app.model_reference import MAX_VERSION_NUMBER, PRODUCTION, REFERENCE, is_valid_name
from app.services import pagination, webhook_events


def resolve(session: Session, reference: str) -> VersionRow:
    """Return the version that `digits`, `digits:3` or `digits@production` refers to now. Raise ModelNotFound."""
    parts = REFERENCE.fullmatch(reference)
    row = _find(session, **parts.groupdict()) if parts else None
    if row is None:
        raise ModelNotFound(f"There is no model version {reference[:220]!r}.")
    return row


def resolve_for_job(session: Session, reference: str) -> VersionRow:
    """Return the version, locked against deletion until the transaction ends. Raise ModelNotFound."""
    version_id = resolve(session, reference).id
    query = select(VersionRow).where(VersionRow.id == version_id).with_for_update(read=True, key_share=True)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise ModelNotFound(f"There is no model version {reference[:220]!r} any more.")
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


def index(session: Session, limit: int, after: str | None) -> tuple[list[tuple[str, int]], str | None]:
    """Return name and number of a page of versions, the newest model and its newest version first, and the next cursor."""
    key = ModelRow.created_at, ModelRow.id
    newest_first = *(column.desc() for column in key), VersionRow.number.desc()
    query = select(ModelRow.name, VersionRow.number, *key).join(VersionRow.model).order_by(*newest_first)
    if after is not None:
        created_at, model_id, number = pagination.decode(after, pagination.utc, UUID, pagination.number)
        earlier = or_(ModelRow.id != model_id, VersionRow.number < number)
        query = query.where(tuple_(*key) <= tuple_(created_at, model_id), earlier)
    rows = session.execute(query.limit(limit + 1)).all()
    entries = [(name, number) for name, number, *_ in rows[:limit]]
    if len(rows) <= limit:
        return entries, None
    _, number, created_at, model_id = rows[limit - 1]
    return entries, pagination.encode(created_at.isoformat(), model_id, number)


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


def change(session: Session, name: str, values: Mapping[str, Any]) -> ModelOverview:
    """Set name, description or tags of a model. Raise ModelNotFound, ModelNameTaken, ModelInUse."""
    model = get(session, name)
    new_name = values.get("name", name)
    if new_name != name:
        _rename(session, model, new_name)
    for field, value in values.items():
        setattr(model, field, value)
    audit.record(session, "model.change", f"models/{name}")
    try:
        session.flush()
    except IntegrityError as error:  # another request took the name meanwhile
        raise _name_taken(new_name) from error
    return _overviews(session, [model])[0]


def change_version(session: Session, name: str, number: int, values: Mapping[str, Any]) -> VersionRow:
    """Set description or tags of a version. Raise ModelNotFound."""
    row = version(session, name, number)
    for field, value in values.items():
        setattr(row, field, value)
    audit.record(session, "version.change", f"models/{name}/versions/{number}")
    return row


def _name_taken(name: str) -> ModelNameTaken:
    return ModelNameTaken(f"There is a model {name} already. Choose another name.")


def _rename(session: Session, model: ModelRow, name: str) -> None:
    """Give the model and its ended jobs another name. Raise ModelNameTaken, ModelInUse."""
    session.execute(select(ModelRow.id).where(ModelRow.id == model.id).with_for_update())
    if session.scalar(select(ModelRow.id).where(ModelRow.name == name)) is not None:
        raise _name_taken(name)
    is_of_model = JobRow.model_name == model.name
    active = session.scalars(select(JobRow.id).where(is_of_model, JobRow.status.in_(ACTIVE)).limit(20)).all()
    if active:
        detail = "has not ended and names the model; cancel it or wait for its end"
        raise ModelInUse(f"Model {model.name} is in use.", [FieldError(f"/jobs/{job_id}", detail) for job_id in active])
    session.execute(update(JobRow).where(is_of_model).values(model_name=name, updated_at=JobRow.updated_at))
    requests = update(LabelRequestRow).where(LabelRequestRow.model_name == model.name)
    session.execute(requests.values(model_name=name, updated_at=LabelRequestRow.updated_at))
    bump_revision(session)


def set_alias(session: Session, name: str, alias: str, number: int) -> AliasRow:
    """Point an alias at a version, in one statement: readers see either the old version or the new one.

    Raise ModelNotFound if there is no such version.
    """
    owner = resolve_for_job(session, f"{name}:{number}")
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
