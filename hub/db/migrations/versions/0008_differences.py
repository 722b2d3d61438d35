"""Each unexplained change is a difference of its own; what people tell of documents; indexes for the reconciliation."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the book's rule of what is found once, and add what its questions need."""
    op.execute(_BOOK)
    op.execute(_TOLD)


_TOLD = """
ALTER TABLE stock_posting ADD COLUMN told_by text DEFAULT '' NOT NULL;
COMMENT ON TABLE stock_posting IS
    'Lines of the ERPs'' documents that carry a number of ours, as they stood at the last look. changed is the tick at'
    ' which the hub learned how it stands now. told_by is who has told of a document that does not carry the number it'
    ' stands for, empty where the ERP did.';
"""
_BOOK = """
DROP INDEX uq_stock_difference_open;
CREATE UNIQUE INDEX uq_stock_difference_open ON stock_difference (item_id, location_id, kind, subject)
    WHERE healed_at IS NULL AND resolved_at IS NULL AND (subject <> '' OR kind = 'our_bug');
CREATE INDEX ix_stock_difference_level ON stock_difference (item_id, location_id, kind, subject);
COMMENT ON TABLE stock_difference IS
    'What the hub and an ERP said differently though nothing was under way, by its class. subject is the number it is'
    ' about, if any: a case that is found once while it lasts, as our own faults are; each change of a quantity is a'
    ' difference of its own. Open until it is healed, is seen no more, or a person has resolved it.';
"""
