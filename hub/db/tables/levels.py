"""The levels and what is told of them: the ledger, what is withheld, counts, and differences."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hub.db.tables.columns import metadata, quantity_column, text_column, time_column

ROOM = "CASE WHEN frozen_at IS NULL THEN on_hand - demand + supply - held - safety_stock - buffer ELSE 0 END"
"""What may still be promised of a level, over all channels, as its row stands."""

stock_level = Table(
    "stock_level",
    metadata,
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("location_id", BigInteger, ForeignKey("location.id"), primary_key=True),
    Column("on_hand", Numeric, nullable=False),
    Column("read_began", BigInteger, nullable=False),
    Column("read_ended", BigInteger, nullable=False),
    time_column("changed_at", now=True),
    time_column("doubted_at", nullable=True),
    quantity_column("demand"),
    quantity_column("supply"),
    quantity_column("held"),
    Column("next_expiry", BigInteger, nullable=True),
    Column("closed_through", BigInteger, nullable=False, server_default=text("0")),
    quantity_column("safety_stock"),
    quantity_column("buffer"),
    Column("pooled", Boolean, nullable=False, server_default=text("false")),
    time_column("frozen_at", nullable=True),
    Column("room", Numeric, Computed(ROOM, persisted=True)),
    CheckConstraint("read_ended > read_began", name="read_takes_time"),
    CheckConstraint("on_hand <> 'NaN'", name="on_hand_is_a_number"),
    Index("ix_stock_level_location", "location_id"),
    Index("ix_stock_level_changed", "changed_at", "item_id"),
    Index(
        "ix_stock_level_withheld",
        "item_id",
        "location_id",
        postgresql_where=text("safety_stock <> 0 OR buffer <> 0"),
    ),
    comment="The sellable quantity per item and place: the base triple (on_hand, read_began, read_ended) and every"
    " number that decides what may be promised. doubted_at: since when a part of it can't be understood. demand"
    " sums what stock_demand has not covered, supply what stock_supply counts, held the buckets of hold_bucket;"
    " room is what may still be promised as the row stands, next_expiry is the first second (Unix time) at which a"
    " bucket ends, and what ended at closed_through or before has ended for good, whatever a clock says later.",
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

stock_ledger = Table(
    "stock_ledger",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    text_column("status", default="sellable"),
    text_column("owner", default=""),
    Column("quantity_before", Numeric, nullable=False),
    Column("quantity_after", Numeric, nullable=False),
    text_column("cause"),
    text_column("source"),
    Column("batch_id", BigInteger, nullable=True),
    Column("read_began", BigInteger, nullable=True),
    Column("read_ended", BigInteger, nullable=True),
    time_column("effective_at"),
    time_column("recorded_at", now=True),
    Index("ix_stock_ledger_level", "item_id", "location_id", "status", text("LEAST(effective_at, recorded_at)")),
    Index(
        "ix_stock_ledger_sums",
        "item_id",
        "location_id",
        "status",
        "id",
        postgresql_include=["cause", "source", "quantity_before", "quantity_after", "effective_at", "recorded_at"],
        postgresql_where=text("status IN ('demand', 'supply', 'safety_stock', 'buffer', 'frozen')"),
    ),
    Index("ix_stock_ledger_recorded", "recorded_at", postgresql_using="brin"),
    comment="Append-only: every change of a quantity with its cause. sellable is the base, demand and supply are by"
    " number (source), safety_stock and buffer the limits, frozen is 1 while the level is counted; all else is apart."
    " An entry takes effect at effective_at, at the latest when it was recorded.",
)

stock_rule = Table(
    "stock_rule",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item_id", BigInteger, ForeignKey("item.id"), nullable=True),
    Column("category", Text, nullable=True),
    Column("location_id", BigInteger, ForeignKey("location.id"), nullable=True),
    quantity_column("safety_stock"),
    quantity_column("buffer"),
    quantity_column("buffer_lag_factor"),
    Column("target", Numeric, nullable=True),
    UniqueConstraint(
        "item_id", "category", "location_id", name="uq_stock_rule_scope", postgresql_nulls_not_distinct=True
    ),
    CheckConstraint("item_id IS NULL OR category IS NULL", name="one_scope"),
    CheckConstraint("safety_stock >= 0 AND buffer >= 0 AND buffer_lag_factor >= 0", name="not_negative"),
    CheckConstraint("target >= safety_stock", name="target"),
    comment="What is withheld of levels: of an article, of a category, or of all; at a place, or everywhere (NULL)."
    " The most specific rule of a level holds as a whole. The buffer grows by buffer_lag_factor times what is expected"
    " to sell without us while the numbers are as old as they are. target is what purchasing fills up to, without it"
    " twice the safety stock.",
)

stock_rate = Table(
    "stock_rate",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    Column("fallen", Numeric, nullable=False),
    Column("per_second", Numeric, nullable=False),
    time_column("measured_at", now=True),
    comment="How fast the base of a level falls without any number of ours, over the last days of the ledger. Levels"
    " without a row did not fall.",
)

stock_crossing = Table(
    "stock_crossing",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    time_column("began_at"),
    time_column("told_at", nullable=True),
    time_column("ended_at", nullable=True),
    Column("stock", Numeric, nullable=False),
    Column("safety_stock", Numeric, nullable=False),
    Column("lacking", Numeric, nullable=False),
    Index(
        "uq_stock_crossing_open",
        "item_id",
        "location_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_stock_crossing_untold", "id", postgresql_where=text("ended_at IS NULL AND told_at IS NULL")),
    comment="Since when a level is below its safety stock, until it is there again; told to purchasing once. stock,"
    " safety_stock and what lacks to the target are those of the moment at which it began.",
)

stocktake = Table(
    "stocktake",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("location_id", BigInteger, ForeignKey("location.id"), nullable=False),
    time_column("frozen_at"),
    Column("ledger_from", BigInteger, nullable=False),
    time_column("thawed_at", nullable=True),
    Column("levels", Integer, nullable=True),
    Index("uq_stocktake_open", "location_id", unique=True, postgresql_where=text("thawed_at IS NULL")),
    comment="Counts of places (盘点): while one is open, nothing of the place is promised. ledger_from is the last"
    " entry of the ledger before it; levels is how many there were in the end.",
)

stocktake_line = Table(
    "stocktake_line",
    metadata,
    Column("stocktake_id", BigInteger, ForeignKey("stocktake.id", ondelete="CASCADE"), primary_key=True),
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("base_before", Numeric, nullable=False),
    Column("base_after", Numeric, nullable=False),
    Column("explained", Numeric, nullable=False),
    Column("demand", Numeric, nullable=False),
    Column("supply", Numeric, nullable=False),
    comment="What became of the levels of a place while it was counted, of those of which anything changed or is open:"
    " the base before and after, and by how much it changed by documents with numbers of ours. What is left is the"
    " count's difference. demand and supply were not in the base yet in the end.",
)

stock_check = Table(
    "stock_check",
    metadata,
    Column("item_id", BigInteger, primary_key=True),
    Column("location_id", BigInteger, primary_key=True),
    text_column("source"),
    time_column("checked_at"),
    Index("ix_stock_check_oldest", "source", "checked_at"),
    comment="When each level was last compared with its ERP on purpose (reconciliation).",
)

stock_difference = Table(
    "stock_difference",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("item_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    text_column("source"),
    text_column("kind"),
    text_column("subject", default=""),
    Column("evidence", JSONB, nullable=False),
    time_column("found_at", now=True),
    time_column("healed_at", nullable=True),
    time_column("resolved_at", nullable=True),
    text_column("resolved_by", nullable=True),
    text_column("resolution", nullable=True),
    CheckConstraint(
        "kind IN ('our_bug', 'missed_event', 'late_pos', 'duplicate', 'unit_or_mapping', 'manual_posting',"
        " 'unexplained')",
        name="kind",
    ),
    Index(
        "uq_stock_difference_open",
        "item_id",
        "location_id",
        "kind",
        "subject",
        unique=True,
        postgresql_where=text("healed_at IS NULL AND resolved_at IS NULL AND (subject <> '' OR kind = 'our_bug')"),
    ),
    Index("ix_stock_difference_level", "item_id", "location_id", "kind", "subject"),
    Index("ix_stock_difference_found", "source", "found_at"),
    comment="What the hub and an ERP said differently though nothing was under way, by its class. subject is the number"
    " it is about, if any: a case that is found once while it lasts, as our own faults are; each change of a quantity"
    " is a difference of its own. Open until it is healed, is seen no more, or a person has resolved it.",
)
