"""Prepare deletion, retention and large tables.

Revision ID: 0007
Revises: 0006

It adds texts of users, the tables `job_total` and `file_deletion`, and indices. The points of new metrics belong to an event;
older events keep their copies.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
LABELLED = ("dataset", "job", "model", "version")
INDICES: dict[str, tuple[str, list[str], str | None]] = {
    "ix_job_status_page": ("job", ["project", "kind", "status", "created_at", "id"], None),
    "ix_job_model_page": ("job", ["project", "model_name", "kind", "status", "created_at", "id"], None),
    "ix_job_expiry": ("job", ["finished_at", "id"], None),
    "ix_job_uncleaned": ("job", ["finished_at"], "cleaned_at IS NULL"),
    "ix_job_uncounted": ("job", ["finished_at", "status", "kind"], "counted_at IS NULL"),
    "ix_job_base_version_id": ("job", ["base_version_id"], None),
    "ix_version_base_version_id": ("version", ["base_version_id"], None),
    "ix_alias_version_id": ("alias", ["version_id"], None),
    "ix_event_expiry": ("event", ["created_at"], "kind <> 'done'"),
    "ix_artifact_storage_key": ("artifact", ["storage_key"], None),
    "ix_output_storage_key": ("output", ["storage_key"], None),
    "ix_output_created_at": ("output", ["created_at"], None),
}
REPLACED = {"ix_job_cleaned_at": "cleaned_at", "ix_job_model_name": "model_name"}


def upgrade() -> None:
    for table in LABELLED:
        op.add_column(table, sa.Column("description", sa.String(), server_default="", nullable=False))
        op.add_column(table, sa.Column("tags", JSON, server_default="[]", nullable=False))
    op.add_column("job", sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("model", sa.Column("last_number", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE model SET last_number = (SELECT coalesce(max(number), 0) FROM version WHERE version.model_id = model.id)")
    _add_output_times()
    _change_metric(["job_id", "name", "step", "event_id"], add=True)
    _create_tables()
    for name in REPLACED:
        op.drop_index(name, table_name="job")
    for name, (table, columns, where) in INDICES.items():
        condition: Any = sa.text(where) if where else None
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    for name, (table, *_) in INDICES.items():
        op.drop_index(name, table_name=table)
    for name, column in REPLACED.items():
        op.create_index(name, "job", [column])
    op.drop_table("file_deletion")
    op.drop_table("job_total")
    op.execute(
        "DELETE FROM metric WHERE EXISTS (SELECT 1 FROM metric AS later WHERE later.job_id = metric.job_id"
        " AND later.name = metric.name AND later.step = metric.step AND later.event_id > metric.event_id)"
    )
    _change_metric(["job_id", "name", "step"], add=False)
    op.drop_column("output", "created_at")
    op.drop_column("model", "last_number")
    op.drop_column("job", "counted_at")
    for table in LABELLED:
        op.drop_column(table, "tags")
        op.drop_column(table, "description")


def _add_output_times() -> None:
    op.add_column("output", sa.Column("created_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE output SET created_at = (SELECT coalesce(finished_at, created_at) FROM job WHERE job.id = output.job_id)")
    with op.batch_alter_table("output") as batch:
        batch.alter_column("created_at", existing_type=sa.DateTime(timezone=True), nullable=False)


def _change_metric(key: list[str], add: bool) -> None:
    if not add:
        op.drop_index("ix_metric_event", table_name="metric")
    with op.batch_alter_table("metric") as batch:
        batch.drop_constraint("uq_metric_point", type_="unique")
        if add:
            batch.add_column(sa.Column("event_id", sa.BigInteger(), server_default="0", nullable=False))
        else:
            batch.drop_column("event_id")
        batch.create_unique_constraint("uq_metric_point", key)
    if add:
        op.create_index("ix_metric_event", "metric", ["job_id", "event_id"])


def _create_tables() -> None:
    op.create_table(
        "job_total",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("algorithm", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("buckets", JSON, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "algorithm", "status", name=op.f("pk_job_total")),
    )
    op.create_table(
        "file_deletion",
        sa.Column("storage_key", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("storage_key", name=op.f("pk_file_deletion")),
    )
    op.create_index(op.f("ix_file_deletion_created_at"), "file_deletion", ["created_at"])
