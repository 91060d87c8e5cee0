"""Add label requests with their labels, and evaluations.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("job", sa.Column("target_labels", JSON, nullable=True))
    _create_label_request()
    op.create_table(
        "label",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("stratum", sa.Integer(), nullable=False),
        sa.Column("predicted", sa.String(), nullable=False),
        sa.Column("source_only", sa.String(), nullable=True),
        sa.Column("preview", JSON, nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("unclear", sa.Boolean(), nullable=False),
        sa.Column("answered_at", TIME, nullable=True),
        sa.CheckConstraint("NOT unclear OR label IS NULL", name=op.f("ck_label_unclear")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["label_request.id"], name=op.f("fk_label_request_id_label_request"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_label")),
        sa.UniqueConstraint("request_id", "row", name="uq_label_row"),
    )
    _create_evaluation()


def downgrade() -> None:
    op.drop_table("evaluation")
    op.drop_table("label")
    op.drop_table("label_request")
    op.drop_column("job", "target_labels")


def _create_label_request() -> None:
    op.create_table(
        "label_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("classes", JSON, nullable=False),
        sa.Column("strata", JSON, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("estimate", sa.Double(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("project", sa.String(100), server_default="default", nullable=False),
        sa.CheckConstraint("purpose IN ('accuracy', 'gain', 'both', 'improve')", name=op.f("ck_label_request_purpose")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_label_request_dataset_id_dataset")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["version.id"], name=op.f("fk_label_request_version_id_version"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_request")),
    )
    op.create_index("ix_label_request_page", "label_request", ["project", "created_at", "id"])
    op.create_index("ix_label_request_model", "label_request", ["project", "model_name", "version_number"])
    op.create_index(op.f("ix_label_request_version_id"), "label_request", ["version_id"])
    op.create_index(op.f("ix_label_request_dataset_id"), "label_request", ["dataset_id"])


def _create_evaluation() -> None:
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("project", sa.String(100), server_default="default", nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_evaluation_dataset_id_dataset")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_evaluation_job_id_job"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["version.id"], name=op.f("fk_evaluation_version_id_version"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    op.create_index("ix_evaluation_version", "evaluation", ["version_id", "created_at", "id"])
    op.create_index(op.f("ix_evaluation_job_id"), "evaluation", ["job_id"])
