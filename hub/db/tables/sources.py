"""What is known of the ERPs as sources: ticks, feeds, read cycles, what is due, pushes, what could not be used."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hub.db.tables.columns import metadata, text_column, time_column

# One number for every moment that matters between the hub and an ERP. CACHE 1: the order of drawing is the order of
# the numbers, whichever connection draws.
tick_sequence = Sequence("tick", metadata=metadata, cache=1)

tick_time = Table(
    "tick_time",
    metadata,
    Column("tick", BigInteger, primary_key=True, autoincrement=False),
    time_column("drawn_at", now=True),
    comment="When each tick was drawn. Only the rule for lagging copies may look at it.",
)

feed = Table(
    "feed",
    metadata,
    Column("source", Text, primary_key=True),
    time_column("read_at", nullable=True),
    time_column("full_read_at", nullable=True),
    time_column("items_read_at", nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=True),
    Column("snapshot_error", Text, nullable=True),
    time_column("failed_at", nullable=True),
    Column("stale_after_seconds", Integer, nullable=False),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    time_column("asked_after", nullable=True),
    comment="How fresh each source is: read_at is when the last good poll or read of it began. refusals counts how"
    " often in a row we were not let in; nobody looks for changes before asked_after then.",
)

source_position = Table(
    "source_position",
    metadata,
    Column("source", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("cursor", JSONB, nullable=False),
    time_column("moved_at", now=True),
    comment="Where each stream of changes was left; moves in the transaction of the data it covers.",
)

stock_due = Table(
    "stock_due",
    metadata,
    Column("source", Text, primary_key=True),
    Column("item", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    time_column("due_at", now=True),
    comment="Keys, in the source's own words, that the next look reads whether or not they changed.",
)

stock_batch = Table(
    "stock_batch",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("source"),
    text_column("kind"),
    text_column("state"),
    time_column("started_at", now=True),
    time_column("finished_at", nullable=True),
    text_column("mapping_version", default=""),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("rows", Integer, nullable=False, server_default=text("0")),
    Column("rejected", Integer, nullable=False, server_default=text("0")),
    Column("changed", Integer, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=True),
    CheckConstraint("kind IN ('full', 'keys')", name="kind"),
    CheckConstraint("state IN ('running', 'applied', 'incomplete', 'quarantined', 'failed')", name="state"),
    Index("ix_stock_batch_source", "source", "id"),
    Index("ix_stock_batch_running", "source", postgresql_where=text("state = 'running'")),
    comment="One read cycle of a source: what was read and what became of it.",
)

stock_floor = Table(
    "stock_floor",
    metadata,
    Column("location_id", BigInteger, ForeignKey("location.id"), primary_key=True),
    Column("read_began", BigInteger, nullable=False),
    comment="No read that began at or before this tick may change a level of the place (last complete snapshot).",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("source"),
    text_column("event_id"),
    text_column("kind"),
    Column("payload", JSONB, nullable=False),
    time_column("received_at", now=True),
    text_column("state", default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("next_attempt_at", now=True),
    Column("error", Text, nullable=True),
    time_column("done_at", nullable=True),
    UniqueConstraint("source", "event_id"),
    CheckConstraint("state IN ('pending', 'done', 'quarantined')", name="state"),
    Index("ix_inbox_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    comment="Every push, stored before it is acknowledged; each event once.",
)

outbox_sequence = Sequence("outbox_published", metadata=metadata, cache=1)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("topic"),
    text_column("key"),
    Column("payload", JSONB, nullable=False),
    time_column("created_at", now=True),
    Column("published_seq", BigInteger, nullable=True, unique=True),
    Index("ix_outbox_waiting", "id", postgresql_where=text("published_seq IS NULL")),
    comment="What others must learn, written with the change that caused it; numbered after commit by one relay.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("source"),
    text_column("kind"),
    text_column("key"),
    text_column("reason"),
    text_column("detail"),
    text_column("digest"),
    Column("raw", JSONB, nullable=False),
    time_column("first_seen_at", now=True),
    time_column("last_seen_at", now=True),
    Column("times", Integer, nullable=False, server_default=text("1")),
    time_column("resolved_at", nullable=True),
    Index(
        "uq_quarantine_open",
        "source",
        "kind",
        "key",
        "reason",
        "digest",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    comment="Records that could not be used, with reason and raw text; nothing is lost and nothing invented.",
)
