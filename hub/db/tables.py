"""Every table of the hub. Quantities are NUMERIC, times are timestamptz, ticks are numbers of one sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from datetime import datetime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> Column[datetime]:
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=func.clock_timestamp() if now else None
    )


def _text(name: str, *, default: str | None = None, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable, server_default=None if default is None else text(f"'{default}'"))


# One number for every moment that matters between the hub and an ERP. CACHE 1: the order of drawing is the order of
# the numbers, whichever connection draws.
tick_sequence = Sequence("tick", metadata=metadata, cache=1)

tick_time = Table(
    "tick_time",
    metadata,
    Column("tick", BigInteger, primary_key=True, autoincrement=False),
    _time("drawn_at", now=True),
    comment="When each tick was drawn. Only the rule for lagging copies may look at it.",
)

location = Table(
    "location",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    _text("name"),
    _text("kind"),
    Column("stock_source", Text, nullable=True),
    _text("org", default=""),
    _text("company", default=""),
    _text("brand", default=""),
    _text("region", default=""),
    _text("ownership", default="own"),
    Column("sellable_online", Boolean, nullable=False),
    Column("pickup", Boolean, nullable=False),
    _text("opening_hours", default=""),
    _text("cutoff_time", default=""),
    _text("time_zone"),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    comment="Places that hold stock; config/locations.yaml is their master.",
)

item = Table(
    "item",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("sku", Text, nullable=False, unique=True),
    Column("gtin", Text, nullable=True, unique=True),
    _text("name"),
    _text("unit"),
    _text("category", default=""),
    _text("brand", default=""),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _time("updated_at", now=True),
    comment="Sellable variants.",
)

barcode = Table(
    "barcode",
    metadata,
    Column("code", Text, primary_key=True),
    Column("item_id", BigInteger, ForeignKey("item.id"), nullable=False, index=True),
    Column("factor", Numeric, nullable=False),
    CheckConstraint("factor > 0", name="factor_positive"),
    comment="Codes on packages; factor is the number of base units inside.",
)

external_reference = Table(
    "external_reference",
    metadata,
    Column("system", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("our_id", BigInteger, nullable=False),
    _time("linked_at", now=True),
    Index("ix_external_reference_ours", "kind", "our_id"),
    comment="(system, kind, external id) to our id. system is the name of a source.",
)

feed = Table(
    "feed",
    metadata,
    Column("source", Text, primary_key=True),
    _time("read_at", nullable=True),
    _time("full_read_at", nullable=True),
    _time("items_read_at", nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=True),
    Column("snapshot_error", Text, nullable=True),
    _time("failed_at", nullable=True),
    Column("stale_after_seconds", Integer, nullable=False),
    comment="How fresh each source is: read_at is when the last good poll or read of it began.",
)

source_position = Table(
    "source_position",
    metadata,
    Column("source", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("cursor", JSONB, nullable=False),
    _time("moved_at", now=True),
    comment="Where each stream of changes was left; moves in the transaction of the data it covers.",
)

stock_level = Table(
    "stock_level",
    metadata,
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("location_id", BigInteger, ForeignKey("location.id"), primary_key=True),
    Column("on_hand", Numeric, nullable=False),
    Column("read_began", BigInteger, nullable=False),
    Column("read_ended", BigInteger, nullable=False),
    _time("changed_at", now=True),
    _time("doubted_at", nullable=True),
    CheckConstraint("read_ended > read_began", name="read_takes_time"),
    CheckConstraint("on_hand <> 'NaN'", name="on_hand_is_a_number"),
    Index("ix_stock_level_location", "location_id"),
    Index("ix_stock_level_changed", "changed_at", "item_id"),
    comment="The sellable quantity per item and place: the base triple (on_hand, read_began, read_ended)."
    " doubted_at: since when a part of it can't be understood.",
)

stock_unsellable = Table(
    "stock_unsellable",
    metadata,
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("location_id", BigInteger, ForeignKey("location.id"), primary_key=True),
    Column("status", Text, primary_key=True),
    Column("owner", Text, primary_key=True, server_default=text("''")),
    Column("quantity", Numeric, nullable=False),
    comment="What is there but not ours to sell: other stock states, consigned goods, lots about to expire.",
)

stock_floor = Table(
    "stock_floor",
    metadata,
    Column("location_id", BigInteger, ForeignKey("location.id"), primary_key=True),
    Column("read_began", BigInteger, nullable=False),
    comment="No read that began at or before this tick may change a level of the place (last complete snapshot).",
)

stock_due = Table(
    "stock_due",
    metadata,
    Column("source", Text, primary_key=True),
    Column("item", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    _time("due_at", now=True),
    comment="Keys, in the source's own words, that the next look reads whether or not they changed.",
)

stock_batch = Table(
    "stock_batch",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("source"),
    _text("kind"),
    _text("state"),
    _time("started_at", now=True),
    _time("finished_at", nullable=True),
    _text("mapping_version", default=""),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("rows", Integer, nullable=False, server_default=text("0")),
    Column("rejected", Integer, nullable=False, server_default=text("0")),
    Column("changed", Integer, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=True),
    CheckConstraint("kind IN ('full', 'keys')", name="kind"),
    CheckConstraint("state IN ('running', 'applied', 'incomplete', 'quarantined', 'failed')", name="state"),
    Index("ix_stock_batch_source", "source", "id"),
    comment="One read cycle of a source: what was read and what became of it.",
)

stock_ledger = Table(
    "stock_ledger",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    _text("status", default="sellable"),
    _text("owner", default=""),
    Column("quantity_before", Numeric, nullable=False),
    Column("quantity_after", Numeric, nullable=False),
    _text("cause"),
    _text("source"),
    Column("batch_id", BigInteger, ForeignKey("stock_batch.id"), nullable=True),
    Column("read_began", BigInteger, nullable=True),
    Column("read_ended", BigInteger, nullable=True),
    _time("effective_at"),
    _time("recorded_at", now=True),
    Index("ix_stock_ledger_level", "item_id", "location_id", "id"),
    comment="Append-only: every change of a quantity with its cause.",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("source"),
    _text("event_id"),
    _text("kind"),
    Column("payload", JSONB, nullable=False),
    _time("received_at", now=True),
    _text("state", default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _time("next_attempt_at", now=True),
    Column("error", Text, nullable=True),
    _time("done_at", nullable=True),
    UniqueConstraint("source", "event_id"),
    CheckConstraint("state IN ('pending', 'done', 'quarantined')", name="state"),
    Index("ix_inbox_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    comment="Every push, stored before it is acknowledged; each event once.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("topic"),
    _text("key"),
    Column("payload", JSONB, nullable=False),
    _time("created_at", now=True),
    Column("published_seq", BigInteger, nullable=True, unique=True),
    Index("ix_outbox_waiting", "id", postgresql_where=text("published_seq IS NULL")),
    comment="What others must learn, written with the change that caused it; numbered after commit by one relay.",
)
outbox_sequence = Sequence("outbox_published", metadata=metadata, cache=1)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _text("source"),
    _text("kind"),
    _text("key"),
    _text("reason"),
    _text("detail"),
    _text("digest"),
    Column("raw", JSONB, nullable=False),
    _time("first_seen_at", now=True),
    _time("last_seen_at", now=True),
    Column("times", Integer, nullable=False, server_default=text("1")),
    _time("resolved_at", nullable=True),
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

api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _text("role"),
    Column("secret_sha256", LargeBinary, nullable=False),
    _time("created_at", now=True),
    _time("revoked_at", nullable=True),
    comment="Hashed keys of machine clients; the secret itself is shown once and kept nowhere.",
)
