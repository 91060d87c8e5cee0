"""Name job kinds after their modules.

Revision ID: 0004
Revises: 0003

The kinds are named as their modules in `app.job_types`, and the column takes any name: a new kind needs no migration. The table
`catalogue` becomes `registry_revision`.

SQLite would have to copy the table to change a constraint, as in 0002: the way of its manual for constraints is taken instead.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAMES = {"adapt": "adaptation", "predict": "batch_prediction"}
OLD_KINDS = "kind IN ('adapt', 'predict', 'trial')"
OLD_COLUMN, NEW_COLUMN = "kind VARCHAR(16)", "kind VARCHAR(32)"
NEXT_CONSTRAINT = "CONSTRAINT ck_job_status"
CONSTRAINTS = f"CONSTRAINT ck_job_kind CHECK ({OLD_KINDS}), \n\t{NEXT_CONSTRAINT}"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace_in_schema({OLD_COLUMN: NEW_COLUMN, CONSTRAINTS: NEXT_CONSTRAINT})
    else:
        op.drop_constraint(op.f("ck_job_kind"), "job", type_="check")
        op.alter_column("job", "kind", type_=sa.String(32))
    for before, after in NAMES.items():
        _rename_kind(before, after)
    _rename_counter("catalogue", "registry_revision")


def downgrade() -> None:
    """Delete the jobs of kinds that the older release does not know."""
    names = ", ".join(f"'{name}'" for name in (*NAMES.values(), "trial"))
    op.execute(f"DELETE FROM job WHERE kind NOT IN ({names})")
    for before, after in NAMES.items():
        _rename_kind(after, before)
    if op.get_bind().dialect.name == "sqlite":
        _replace_in_schema({NEW_COLUMN: OLD_COLUMN, NEXT_CONSTRAINT: CONSTRAINTS})
    else:
        op.alter_column("job", "kind", type_=sa.String(16))
        op.create_check_constraint(op.f("ck_job_kind"), "job", OLD_KINDS)
    _rename_counter("registry_revision", "catalogue")


def _rename_kind(before: str, after: str) -> None:
    op.get_bind().execute(sa.text("UPDATE job SET kind = :after WHERE kind = :before"), {"before": before, "after": after})


def _rename_counter(before: str, after: str) -> None:
    """Copy the single row into a table of the new name."""
    op.create_table(
        after,
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f(f"ck_{after}_single")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{after}")),
    )
    op.execute(f"INSERT INTO {after} (id, revision) SELECT id, revision FROM {before}")
    op.drop_table(before)


def _replace_in_schema(changes: dict[str, str]) -> None:
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = sa.text("UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = 'job'")
    for before, after in changes.items():
        op.get_bind().execute(changed, {"before": before, "after": after})
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")
