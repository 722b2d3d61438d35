"""Let ledger entries outlive the batches that made them, and spare a look at the batch for each entry."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the foreign key away; the batch's number stays."""
    op.drop_constraint("fk_stock_ledger_batch_id", "stock_ledger", type_="foreignkey")
