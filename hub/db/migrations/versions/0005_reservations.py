"""Reservations, the numbers they stand on, and keys that make a request count once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ZERO = sa.text("0")
_ROOM = "CASE WHEN frozen_at IS NULL THEN on_hand - held - safety_stock - buffer ELSE 0 END"


def upgrade() -> None:
    """Add columns to the levels, and the new tables. A column that is computed rewrites the levels, once."""
    for name in ("held", "safety_stock", "buffer"):
        op.add_column("stock_level", sa.Column(name, sa.Numeric(), server_default=_ZERO, nullable=False))
    op.add_column("stock_level", sa.Column("next_expiry", sa.BigInteger(), nullable=True))
    op.add_column("stock_level", sa.Column("closed_through", sa.BigInteger(), server_default=_ZERO, nullable=False))
    op.add_column("stock_level", sa.Column("pooled", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("stock_level", sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("stock_level", sa.Column("room", sa.Numeric(), sa.Computed(_ROOM, persisted=True)))
    op.add_column("api_key", sa.Column("channel", sa.Text(), server_default=sa.text("'online'"), nullable=False))
    op.execute(_TABLES)
    op.execute(_COMMENTS)


_TABLES = """
CREATE TABLE hold_bucket (
    item_id bigint NOT NULL,
    location_id bigint NOT NULL,
    expires_second bigint NOT NULL,
    channel text NOT NULL,
    quantity numeric NOT NULL,
    CONSTRAINT pk_hold_bucket PRIMARY KEY (item_id, location_id, expires_second, channel),
    CONSTRAINT ck_hold_bucket_quantity_not_negative CHECK (quantity >= 0));
CREATE INDEX ix_hold_bucket_end ON hold_bucket (expires_second);

CREATE TABLE stock_pool (
    item_id bigint NOT NULL,
    location_id bigint NOT NULL,
    channel text NOT NULL,
    ring_fenced numeric,
    percent numeric,
    held numeric DEFAULT 0 NOT NULL,
    CONSTRAINT pk_stock_pool PRIMARY KEY (item_id, location_id, channel),
    CONSTRAINT ck_stock_pool_one_kind CHECK ((ring_fenced IS NULL) <> (percent IS NULL)),
    CONSTRAINT ck_stock_pool_percent CHECK (percent > 0 AND percent <= 100),
    CONSTRAINT ck_stock_pool_ring_fenced_positive CHECK (ring_fenced > 0),
    CONSTRAINT ck_stock_pool_held_not_negative CHECK (held >= 0));

CREATE TABLE kit_component (
    kit_id bigint NOT NULL CONSTRAINT fk_kit_component_kit_id REFERENCES item (id),
    item_id bigint NOT NULL CONSTRAINT fk_kit_component_item_id REFERENCES item (id),
    quantity numeric NOT NULL,
    CONSTRAINT pk_kit_component PRIMARY KEY (kit_id, item_id),
    CONSTRAINT ck_kit_component_quantity_positive CHECK (quantity > 0),
    CONSTRAINT ck_kit_component_not_itself CHECK (kit_id <> item_id));
CREATE INDEX ix_kit_component_item ON kit_component (item_id);

CREATE TABLE reservation (
    id uuid NOT NULL CONSTRAINT pk_reservation PRIMARY KEY,
    principal text NOT NULL,
    channel text NOT NULL,
    cart_id text DEFAULT '' NOT NULL,
    state text NOT NULL,
    asked jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    first_expiry bigint NOT NULL,
    expires_second bigint NOT NULL,
    ended_at timestamptz,
    CONSTRAINT ck_reservation_state CHECK (state IN ('active', 'released', 'expired')));
CREATE INDEX ix_reservation_active ON reservation (expires_second) WHERE state = 'active';

CREATE TABLE reservation_line (
    reservation_id uuid NOT NULL,
    item_id bigint NOT NULL,
    location_id bigint NOT NULL,
    quantity numeric NOT NULL,
    CONSTRAINT pk_reservation_line PRIMARY KEY (reservation_id, item_id, location_id),
    CONSTRAINT ck_reservation_line_quantity_positive CHECK (quantity > 0));

CREATE TABLE hold_event (
    recorded_at timestamptz NOT NULL,
    item_id bigint NOT NULL,
    location_id bigint NOT NULL,
    channel text NOT NULL,
    reservation_id uuid,
    kind text NOT NULL,
    quantity numeric NOT NULL,
    effective_at timestamptz NOT NULL,
    CONSTRAINT ck_hold_event_kind CHECK (kind IN ('held', 'released', 'expired', 'extended')))
PARTITION BY RANGE (recorded_at);
CREATE INDEX ix_hold_event_level ON hold_event (item_id, location_id, recorded_at);
CREATE TABLE hold_event_other PARTITION OF hold_event DEFAULT;

CREATE TABLE hold_balance (
    item_id bigint NOT NULL,
    location_id bigint NOT NULL,
    channel text NOT NULL,
    quantity numeric NOT NULL,
    through date NOT NULL,
    CONSTRAINT pk_hold_balance PRIMARY KEY (item_id, location_id, channel));

CREATE TABLE idempotency_key (
    principal text NOT NULL,
    key text NOT NULL,
    route text NOT NULL,
    digest bytea NOT NULL,
    reservation_id uuid,
    outcome jsonb,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (principal, key));
CREATE INDEX ix_idempotency_key_created ON idempotency_key USING brin (created_at);
"""
_COMMENTS = """
COMMENT ON TABLE stock_level IS
    'The sellable quantity per item and place: the base triple (on_hand, read_began, read_ended) and '
    'every number that decides what may be promised. doubted_at: since when a part of it can''t be '
    'understood. held sums the buckets of hold_bucket, room is what may still be promised as the row '
    'stands, next_expiry is the first second (Unix time) at which a bucket ends, and what ended at '
    'closed_through or before has ended for good, whatever a clock says later.';
COMMENT ON TABLE hold_bucket IS
    'Active reservations of a level that end in the same second, summed. Whoever uses what they held '
    'takes the bucket away, under the level''s lock.';
COMMENT ON TABLE stock_pool IS
    'What of a level is set apart for a channel, and what that channel has taken. Changes only under the '
    'level''s lock.';
COMMENT ON TABLE kit_component IS
    'What a kit consists of. A kit has no level of its own.';
COMMENT ON TABLE reservation IS
    'A cart''s temporary claim. It ends at expires_second (Unix time) whether or not anybody has marked '
    'it.';
COMMENT ON TABLE reservation_line IS
    'What a reservation holds: kits as their components, lines of one item summed.';
COMMENT ON TABLE hold_event IS
    'Append-only, a partition a day: by how much each reservation changed what a level holds back. What '
    'expired is told by the bucket: one entry for all reservations of a level that ended in a second.';
COMMENT ON TABLE hold_balance IS
    'The sum of the entries of hold_event whose partitions were given up.';
COMMENT ON TABLE idempotency_key IS
    'Requests that must not count twice, written with what they changed. A reservation that was made is '
    'its own outcome.';
"""
