"""What takes from the levels: reservations and their channels, demand, supply, and the ERPs' documents of them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hub.db.tables.columns import metadata, quantity_column, text_column, time_column

hold_bucket = Table(
    "hold_bucket",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    Column("expires_second", BigInteger, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("quantity", Numeric, nullable=False),
    CheckConstraint("quantity >= 0", name="quantity_not_negative"),
    Index("ix_hold_bucket_end", "expires_second"),
    comment="Active reservations of a level that end in the same second, summed. Whoever uses what they held takes the"
    " bucket away, under the level's lock.",
)

stock_pool = Table(
    "stock_pool",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("ring_fenced", Numeric, nullable=True),
    Column("percent", Numeric, nullable=True),
    quantity_column("held"),
    CheckConstraint("(ring_fenced IS NULL) <> (percent IS NULL)", name="one_kind"),
    CheckConstraint("percent > 0 AND percent <= 100", name="percent"),
    CheckConstraint("ring_fenced >= 0", name="ring_fenced_not_negative"),
    CheckConstraint("held >= 0", name="held_not_negative"),
    comment="What of a level is set apart for a channel, and what that channel has taken of it: its reservations"
    " and what of its demand the base still contains. What is covered leaves a ring-fenced pool for good. Changes"
    " only under the level's lock.",
)

reservation = Table(
    "reservation",
    metadata,
    Column("id", Uuid, primary_key=True),
    text_column("principal"),
    text_column("channel"),
    text_column("cart_id", default=""),
    text_column("state"),
    Column("asked", JSONB, nullable=False),
    time_column("created_at"),
    Column("first_expiry", BigInteger, nullable=False),
    Column("expires_second", BigInteger, nullable=False),
    time_column("ended_at", nullable=True),
    Column("order_no", Text, nullable=True),
    CheckConstraint("state IN ('active', 'committed', 'released', 'expired')", name="state"),
    CheckConstraint("(state = 'committed') = (order_no IS NOT NULL)", name="order_no"),
    Index("ix_reservation_active", "expires_second", postgresql_where=text("state = 'active'")),
    comment="A cart's temporary claim. It ends at expires_second (Unix time) whether or not anybody has marked it.",
)

reservation_line = Table(
    "reservation_line",
    metadata,
    Column("reservation_id", Uuid, primary_key=True),
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    Column("quantity", Numeric, nullable=False),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    comment="What a reservation holds: kits as their components, lines of one item summed.",
)

hold_event = Table(
    "hold_event",
    metadata,
    time_column("recorded_at"),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    text_column("channel"),
    Column("reservation_id", Uuid, nullable=True),
    text_column("kind"),
    Column("quantity", Numeric, nullable=False),
    time_column("effective_at"),
    CheckConstraint("kind IN ('held', 'released', 'expired', 'extended', 'committed')", name="kind"),
    Index("ix_hold_event_level", "item_id", "location_id", "recorded_at"),
    postgresql_partition_by="RANGE (recorded_at)",
    comment="Append-only, a partition a day: by how much each reservation changed what a level holds back. What expired"
    " is told by the bucket: one entry for all reservations of a level that ended in a second.",
)

hold_balance = Table(
    "hold_balance",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("quantity", Numeric, nullable=False),
    Column("through", Date, nullable=False),
    comment="The sum of the entries of hold_event whose partitions were given up.",
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    text_column("route"),
    Column("digest", LargeBinary, nullable=False),
    Column("reservation_id", Uuid, nullable=True),
    Column("outcome", JSONB, nullable=True),
    time_column("created_at", now=True),
    Index("ix_idempotency_key_created", "created_at", postgresql_using="brin"),
    comment="Requests that must not count twice, written with what they changed. A reservation that was made is its own"
    " outcome.",
)

stock_demand = Table(
    "stock_demand",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("kind"),
    text_column("number"),
    text_column("reference"),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    Column("quantity", Numeric, nullable=False),
    Column("covered", Numeric, nullable=True),
    quantity_column("returned"),
    Column("whole", Boolean, nullable=False, server_default=text("false")),
    text_column("channel", default=""),
    text_column("state", default="open"),
    Column("push_sent", BigInteger, nullable=True),
    Column("reservation_id", Uuid, nullable=True),
    time_column("effective_at"),
    time_column("recorded_at", now=True),
    time_column("ended_at", nullable=True),
    UniqueConstraint("kind", "number", "item_id", "location_id"),
    CheckConstraint("kind IN ('order', 'sale', 'transfer')", name="kind"),
    CheckConstraint("state IN ('open', 'cancel_pending', 'posted', 'released', 'reversed')", name="state"),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("covered >= 0 AND covered <= quantity", name="covered"),
    CheckConstraint("returned >= 0", name="returned_not_negative"),
    Index(
        "ix_stock_demand_live",
        "item_id",
        "location_id",
        "reference",
        postgresql_where=text("state IN ('open', 'cancel_pending')"),
    ),
    Index(
        "ix_stock_demand_ended",
        "reference",
        "location_id",
        postgresql_where=text("state IN ('posted', 'released', 'reversed')"),
    ),
    comment="What is firmly gone from a level: orders, store sales, transfers out. reference is the number that"
    " the ERP's document will carry. covered is what of it the base in force contains, NULL before any base was"
    " looked at; returned what the same receipt brought back of the article; whole: all or nothing of it is covered,"
    " by whether any line with its reference stands at the place. A row counts while it is open or cancel_pending;"
    " posted ones are in the base for good, as far as anybody can tell.",
)

stock_supply = Table(
    "stock_supply",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("kind"),
    text_column("number"),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    Column("quantity", Numeric, nullable=False),
    Column("push_sent", BigInteger, nullable=True),
    Column("counted", Boolean, nullable=False, server_default=text("true")),
    text_column("state", default="open"),
    time_column("effective_at"),
    time_column("recorded_at", now=True),
    time_column("ended_at", nullable=True),
    UniqueConstraint("kind", "number", "item_id", "location_id"),
    CheckConstraint("kind IN ('return', 'transfer')", name="kind"),
    CheckConstraint("state IN ('open', 'posted', 'withdrawn')", name="state"),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    Index("ix_stock_supply_open", "item_id", "location_id", postgresql_where=text("state = 'open'")),
    comment="What is usable at a place and not yet in the base: returns that were inspected, transfers in. It"
    " counts only while the base in force surely does not contain it: not sent to the ERP, or sent after the read"
    " had ended.",
)

store_sale = Table(
    "store_sale",
    metadata,
    Column("location_id", BigInteger, primary_key=True),
    Column("receipt_no", Text, primary_key=True),
    time_column("sold_at"),
    Column("business_date", Date, nullable=False),
    text_column("reference"),
    text_column("member", default=""),
    Column("lines", JSONB, nullable=False),
    Column("returns", JSONB, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    text_column("principal"),
    time_column("recorded_at", now=True),
    Index("ix_store_sale_day", "location_id", "business_date"),
    comment="What stores sold, as their tills told it; each receipt once. reference is the number by which the ERP's"
    " document will name it: the receipt's own, or that of the day's settlement. It does not refer to its place, so"
    " that who keeps a sale does not lock what a stocktake waits for.",
)

stock_posting = Table(
    "stock_posting",
    metadata,
    Column("source", Text, primary_key=True),
    Column("document", Text, primary_key=True),
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    text_column("reference", default=""),
    Column("quantity", Numeric, nullable=False),
    text_column("version", default=""),
    Column("posted", Boolean, nullable=False),
    Column("changed", BigInteger, nullable=False),
    time_column("changed_at", now=True),
    text_column("told_by", default=""),
    Index("ix_stock_posting_level", "item_id", "location_id", "changed"),
    Index("ix_stock_posting_reference", "reference", "item_id", "location_id"),
    comment="Lines of the ERPs' documents that carry a number of ours, as they stood at the last look. changed is"
    " the tick at which the hub learned how it stands now. told_by is who has told of a document that does not carry"
    " the number it stands for, empty where the ERP did.",
)
