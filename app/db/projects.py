"""Projects: the sessions of a caller see only rows of its project, and add rows to it.

Decision: one hook adds the filter to every statement of such a session. Context: datasets, jobs and models are read by dozens of
queries, and one forgotten condition would show a project the data of another. Consequences: a table is filtered once its class
inherits `OfProject`; sessions without a project, such as those of workers, see everything. Alternatives: a condition in every
query (easy to forget); a schema for each project (migrations multiply, SQLite has none).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from app.db.session import SessionFactory
from app.db.tables import ModelRow, OfProject
from app.model_reference import DEFAULT_PROJECT

PROJECT, MODELS = "project", "models"
"""Members of `Session.info`: the project, and a regular expression of the model names that are visible."""


class ScopedSessions(SessionFactory):
    """The session factory `base` with more members in `Session.info`. Cheap enough to make one for each request."""

    def __init__(self, base: SessionFactory, info: Mapping[str, Any]) -> None:
        self.class_, self.registry_commits = base.class_, base.registry_commits
        self.kw = {**base.kw, "info": {**base.kw.get("info", {}), **info}}


@event.listens_for(Session, "do_orm_execute")
def _filter_by_project(state: ORMExecuteState) -> None:
    project, models = state.session.info.get(PROJECT), state.session.info.get(MODELS)
    if project is None or state.is_column_load or state.is_relationship_load or not hasattr(state.statement, "options"):
        return
    options = [with_loader_criteria(OfProject, lambda cls: cls.project == project, **_FOR_THIS_STATEMENT)]
    if models is not None:
        options.append(with_loader_criteria(ModelRow, lambda cls: cls.name.regexp_match(models), **_FOR_THIS_STATEMENT))
    state.statement = state.statement.options(*options)


_FOR_THIS_STATEMENT: Mapping[str, bool] = {"include_aliases": True, "propagate_to_loaders": False}


@event.listens_for(Session, "before_attach")
def _add_to_project(session: Session, row: object) -> None:
    if isinstance(row, OfProject) and row.project is None:
        row.project = session.info.get(PROJECT, DEFAULT_PROJECT)
