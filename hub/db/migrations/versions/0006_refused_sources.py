"""Remember which sources do not let us in, and until when they are left alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns to the feeds."""
    op.add_column("feed", sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("feed", sa.Column("asked_after", sa.DateTime(timezone=True), nullable=True))
    op.create_table_comment(
        "feed",
        "How fresh each source is: read_at is when the last good poll or read of it began. refusals counts how often"
        " in a row we were not let in; nobody looks for changes before asked_after then.",
        existing_comment="How fresh each source is: read_at is when the last good poll or read of it began.",
    )
