"""Add projects, API keys and the audit log.

Revision ID: 0006
Revises: 0005

Names of models, idempotency keys and fingerprints of datasets become unique within a project. SQLite would have to copy a table
to drop a unique constraint, and dropping the old one would delete all that refers to it. The constraint's index is therefore
made an ordinary index, which can be dropped.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UNIQUE = {"dataset": "fingerprint", "job": "idempotency_key", "model": "name"}
PAGES = {"dataset": ["created_at", "id"], "job": ["kind", "created_at", "id"], "model": ["created_at", "id"]}


def upgrade() -> None:
    for table, column in UNIQUE.items():
        op.add_column(table, sa.Column("project", sa.String(100), nullable=False, server_default="default"))
        _drop_unique_constraint(table, column)
        op.create_index(f"uq_{table}_{column}", table, ["project", column], unique=True)
        op.drop_index(f"ix_{table}_page", table_name=table)
        op.create_index(f"ix_{table}_page", table, ["project", *PAGES[table]])
    _create_api_key()
    _create_audit()


def downgrade() -> None:
    """Fail if two projects use the same name, key or fingerprint."""
    op.drop_table("audit")
    op.drop_table("api_key")
    for table, column in UNIQUE.items():
        op.drop_index(f"ix_{table}_page", table_name=table)
        op.drop_index(f"uq_{table}_{column}", table_name=table)
        op.drop_column(table, "project")
        op.create_index(f"ix_{table}_page", table, PAGES[table])
        if op.get_bind().dialect.name == "sqlite":
            op.create_index(f"uq_{table}_{column}", table, [column], unique=True)
        else:
            op.create_unique_constraint(f"uq_{table}_{column}", table, [column])


def _create_api_key() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", json, nullable=False),
        sa.Column("models", json, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_index("ix_api_key_page", "api_key", ["created_at", "id"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("object", sa.String(500), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=True),
        sa.Column("address", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at", "id"])


def _drop_unique_constraint(table: str, column: str) -> None:
    name = f"uq_{table}_{column}"
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(name, table, type_="unique")
        return
    if f"CONSTRAINT {name} UNIQUE" in _sqlite_definition(table):  # a downgraded table has an index instead
        _make_constraint_an_index(table, name, column)
    op.drop_index(name, table_name=table)


def _make_constraint_an_index(table: str, name: str, column: str) -> None:
    """Remove the last constraint from the definition of a SQLite table and name its index."""
    automatic = f"sqlite_autoindex_{table}_2"  # the first one is that of the primary key
    constraint = f", \n\tCONSTRAINT {name} UNIQUE ({column})"
    definition = f"CREATE UNIQUE INDEX {name} ON {table} ({column})"
    execute = op.get_bind().exec_driver_sql
    version = execute("PRAGMA schema_version").scalar_one()
    execute("PRAGMA writable_schema = ON")
    execute("UPDATE sqlite_schema SET sql = replace(sql, ?, '') WHERE type = 'table' AND name = ?", (constraint, table))
    execute("UPDATE sqlite_schema SET name = ?, sql = ? WHERE type = 'index' AND name = ?", (name, definition, automatic))
    execute(f"PRAGMA schema_version = {version + 1}")
    execute("PRAGMA writable_schema = RESET")


def _sqlite_definition(table: str) -> str:
    return str(
        op.get_bind().scalar(sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :name"), {"name": table})
    )
