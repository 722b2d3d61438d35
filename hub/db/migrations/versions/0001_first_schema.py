"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    # CACHE 1: the order of drawing is the order of the numbers, whichever connection draws.
    op.execute(sa.schema.CreateSequence(sa.Sequence("tick", cache=1)))
    op.execute(sa.schema.CreateSequence(sa.Sequence("outbox_published", cache=1)))
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        comment="Hashed keys of machine clients; the secret itself is shown once and kept nowhere.",
    )
    op.create_table(
        "external_reference",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("our_id", sa.BigInteger(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("system", "kind", "external_id", name=op.f("pk_external_reference")),
        comment="(system, kind, external id) to our id. system is the name of a source.",
    )
    op.create_index("ix_external_reference_ours", "external_reference", ["kind", "our_id"], unique=False)
    op.create_table(
        "feed",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("full_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("items_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("snapshot_error", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stale_after_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_feed")),
        comment="How fresh each source is: read_at is when the last good poll or read of it began.",
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'done', 'quarantined')", name=op.f("ck_inbox_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_inbox_source_event_id")),
        comment="Every push, stored before it is acknowledged; each event once.",
    )
    op.create_index(
        "ix_inbox_due", "inbox", ["next_attempt_at"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_table(
        "item",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("gtin", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("brand", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "attributes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("gtin", name=op.f("uq_item_gtin")),
        sa.UniqueConstraint("sku", name=op.f("uq_item_sku")),
        comment="Sellable variants.",
    )
    op.create_table(
        "location",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stock_source", sa.Text(), nullable=True),
        sa.Column("org", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("company", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("brand", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("region", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ownership", sa.Text(), server_default=sa.text("'own'"), nullable=False),
        sa.Column("sellable_online", sa.Boolean(), nullable=False),
        sa.Column("pickup", sa.Boolean(), nullable=False),
        sa.Column("opening_hours", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cutoff_time", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_location")),
        sa.UniqueConstraint("code", name=op.f("uq_location_code")),
        comment="Places that hold stock; config/locations.yaml is their master.",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("published_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("published_seq", name=op.f("uq_outbox_published_seq")),
        comment="What others must learn, written with the change that caused it; numbered after commit by one relay.",
    )
    op.create_index(
        "ix_outbox_waiting", "outbox", ["id"], unique=False, postgresql_where=sa.text("published_seq IS NULL")
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("raw", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        comment="Records that could not be used, with reason and raw text; nothing is lost and nothing invented.",
    )
    op.create_index(
        "uq_quarantine_open",
        "quarantine",
        ["source", "kind", "key", "reason", "digest"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "source_position",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("cursor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "stream", name=op.f("pk_source_position")),
        comment="Where each stream of changes was left; moves in the transaction of the data it covers.",
    )
    op.create_table(
        "stock_due",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "item", "location", name=op.f("pk_stock_due")),
        comment="Keys, in the source's own words, that the next look reads whether or not they changed.",
    )
    op.create_table(
        "stock_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mapping_version", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rejected", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('full', 'keys')", name=op.f("ck_stock_batch_kind")),
        sa.CheckConstraint(
            "state IN ('running', 'applied', 'incomplete', 'quarantined', 'failed')", name=op.f("ck_stock_batch_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_batch")),
        comment="One read cycle of a source: what was read and what became of it.",
    )
    op.create_index("ix_stock_batch_source", "stock_batch", ["source", "id"], unique=False)
    op.create_table(
        "tick_time",
        sa.Column("tick", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("tick", name=op.f("pk_tick_time")),
        comment="When each tick was drawn. Only the rule for lagging copies may look at it.",
    )
    op.create_table(
        "barcode",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("factor", sa.Numeric(), nullable=False),
        sa.CheckConstraint("factor > 0", name=op.f("ck_barcode_factor_positive")),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_barcode_item_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_barcode")),
        comment="Codes on packages; factor is the number of base units inside.",
    )
    op.create_index(op.f("ix_barcode_item_id"), "barcode", ["item_id"], unique=False)
    op.create_table(
        "stock_floor",
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("read_began", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["location_id"], ["location.id"], name=op.f("fk_stock_floor_location_id")),
        sa.PrimaryKeyConstraint("location_id", name=op.f("pk_stock_floor")),
        comment="No read that began at or before this tick may change a level of the place (last complete snapshot).",
    )
    op.create_table(
        "stock_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'sellable'"), nullable=False),
        sa.Column("owner", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("quantity_before", sa.Numeric(), nullable=False),
        sa.Column("quantity_after", sa.Numeric(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.Column("read_began", sa.BigInteger(), nullable=True),
        sa.Column("read_ended", sa.BigInteger(), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["stock_batch.id"], name=op.f("fk_stock_ledger_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_ledger")),
        comment="Append-only: every change of a quantity with its cause.",
    )
    op.create_index("ix_stock_ledger_level", "stock_ledger", ["item_id", "location_id", "id"], unique=False)
    op.create_table(
        "stock_level",
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("on_hand", sa.Numeric(), nullable=False),
        sa.Column("read_began", sa.BigInteger(), nullable=False),
        sa.Column("read_ended", sa.BigInteger(), nullable=False),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("doubted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("on_hand <> 'NaN'", name=op.f("ck_stock_level_on_hand_is_a_number")),
        sa.CheckConstraint("read_ended > read_began", name=op.f("ck_stock_level_read_takes_time")),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_stock_level_item_id")),
        sa.ForeignKeyConstraint(["location_id"], ["location.id"], name=op.f("fk_stock_level_location_id")),
        sa.PrimaryKeyConstraint("item_id", "location_id", name=op.f("pk_stock_level")),
        comment="The sellable quantity per item and place: the base triple (on_hand, read_began, read_ended)."
        " doubted_at: since when a part of it can't be understood.",
    )
    op.create_index("ix_stock_level_changed", "stock_level", ["changed_at", "item_id"], unique=False)
    op.create_index("ix_stock_level_location", "stock_level", ["location_id"], unique=False)
    op.create_table(
        "stock_unsellable",
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_stock_unsellable_item_id")),
        sa.ForeignKeyConstraint(["location_id"], ["location.id"], name=op.f("fk_stock_unsellable_location_id")),
        sa.PrimaryKeyConstraint("item_id", "location_id", "status", "owner", name=op.f("pk_stock_unsellable")),
        comment="What is there but not ours to sell: other stock states, consigned goods, lots about to expire.",
    )
