"""Find the batches that are still running without reading all the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the few batches that are running."""
    op.create_index("ix_stock_batch_running", "stock_batch", ["source"], postgresql_where=sa.text("state = 'running'"))
