"""Articles, the places that hold them, whom they are bought from, and what each ERP calls them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hub.db.tables.columns import metadata, quantity_column, text_column, time_column

location = Table(
    "location",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    text_column("name"),
    text_column("kind"),
    Column("stock_source", Text, nullable=True),
    text_column("org", default=""),
    text_column("company", default=""),
    text_column("brand", default=""),
    text_column("region", default=""),
    text_column("ownership", default="own"),
    Column("sellable_online", Boolean, nullable=False),
    Column("pickup", Boolean, nullable=False),
    text_column("opening_hours", default=""),
    text_column("cutoff_time", default=""),
    text_column("time_zone"),
    text_column("sale_posting", default="receipt"),
    text_column("settlement_number", default=""),
    text_column("day_begins", default="00:00"),
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
    text_column("name"),
    text_column("unit"),
    text_column("category", default=""),
    text_column("brand", default=""),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    time_column("updated_at", now=True),
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
    time_column("linked_at", now=True),
    Index("ix_external_reference_ours", "kind", "our_id"),
    comment="(system, kind, external id) to our id. system is the name of a source.",
)

kit_component = Table(
    "kit_component",
    metadata,
    Column("kit_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("quantity", Numeric, nullable=False),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("kit_id <> item_id", name="not_itself"),
    Index("ix_kit_component_item", "item_id"),
    comment="What a kit consists of. A kit has no level of its own.",
)

supplier = Table(
    "supplier",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    text_column("name"),
    Column("available", Boolean, nullable=False, server_default=text("true")),
    time_column("changed_at", now=True),
    comment="Whom articles are bought from.",
)

item_supplier = Table(
    "item_supplier",
    metadata,
    Column("item_id", BigInteger, ForeignKey("item.id"), primary_key=True),
    Column("supplier_id", BigInteger, ForeignKey("supplier.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("lead_time_days", Integer, nullable=True),
    text_column("article_no", default=""),
    quantity_column("minimum_quantity"),
    Column("order_multiple", Numeric, nullable=True),
    CheckConstraint("lead_time_days >= 0", name="lead_time_days_not_negative"),
    CheckConstraint("minimum_quantity >= 0", name="minimum_quantity_not_negative"),
    CheckConstraint("order_multiple > 0", name="order_multiple_positive"),
    Index("ix_item_supplier_supplier", "supplier_id"),
    comment="The suppliers of an article in the order in which they are asked; article_no is their own number of it."
    " They deliver minimum_quantity or more, in multiples of order_multiple.",
)
