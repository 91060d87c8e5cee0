"""Store the training precision of a job.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("training_precision", sa.String(length=8), nullable=True))


def downgrade() -> None:
    op.drop_column("job", "training_precision")
