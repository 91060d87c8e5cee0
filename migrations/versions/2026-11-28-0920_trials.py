"""Add trials.

Revision ID: 0002
Revises: 0001

SQLite would have to copy the table to change a constraint, and dropping the old one would delete all that refers to it. Its
manual's way for constraints is taken instead: https://www.sqlite.org/lang_altertable.html, section 7.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BEFORE, AFTER = "kind IN ('adapt', 'predict')", "kind IN ('adapt', 'predict', 'trial')"
IS_TRIAL = "(kind = 'trial') = (parent_id IS NOT NULL AND trial IS NOT NULL)"


def upgrade() -> None:
    _change_kinds(BEFORE, AFTER)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE job ADD COLUMN parent_id CHAR(32) CONSTRAINT fk_job_parent_id_job REFERENCES job (id)")
        op.execute(f"ALTER TABLE job ADD COLUMN trial VARCHAR(64) CONSTRAINT ck_job_trial CHECK ({IS_TRIAL})")
    else:
        op.add_column("job", sa.Column("parent_id", sa.Uuid(), nullable=True))
        op.add_column("job", sa.Column("trial", sa.String(length=64), nullable=True))
        op.create_foreign_key("fk_job_parent_id_job", "job", "job", ["parent_id"], ["id"])
        op.create_check_constraint(op.f("ck_job_trial"), "job", IS_TRIAL)
    op.create_index("ix_job_trial", "job", ["parent_id", "trial"], unique=True)


def downgrade() -> None:
    op.execute("DELETE FROM job WHERE kind = 'trial'")
    op.drop_index("ix_job_trial", table_name="job")
    op.drop_column("job", "trial")
    op.drop_column("job", "parent_id")
    _change_kinds(AFTER, BEFORE)


def _change_kinds(before: str, after: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_job_kind"), "job", type_="check")
        op.create_check_constraint(op.f("ck_job_kind"), "job", after)
        return
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = sa.text("UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = 'job'")
    op.get_bind().execute(changed, {"before": before, "after": after})
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")
