"""Whom the hub talks to: alerts and API keys."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hub.db.tables.columns import metadata, text_column, time_column

alert = Table(
    "alert",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    text_column("kind"),
    text_column("subject"),
    Column("facts", JSONB, nullable=False),
    time_column("began_at"),
    time_column("raised_at", nullable=True),
    time_column("told_at", nullable=True),
    time_column("well_since", nullable=True),
    time_column("resolved_at", nullable=True),
    Index("uq_alert_open", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
    comment="What is wrong and what was: raised_at is None while nobody was told yet, one open row per subject.",
)

alert_message = Table(
    "alert_message",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("alert_id", BigInteger, ForeignKey("alert.id", ondelete="CASCADE"), nullable=False, index=True),
    text_column("channel"),
    text_column("phase"),
    Column("facts", JSONB, nullable=False),
    time_column("created_at", now=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=True),
    time_column("sent_at", nullable=True),
    time_column("given_up_at", nullable=True),
    CheckConstraint("phase IN ('raised', 'repeated', 'resolved')", name="phase"),
    Index(
        "ix_alert_message_waiting",
        "channel",
        "id",
        postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
    ),
    comment="What a channel must be told, written with the alert's change and sent after its commit.",
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("name"),
    text_column("role"),
    text_column("channel", default="online"),
    Column("secret_sha256", LargeBinary, nullable=False),
    time_column("created_at", now=True),
    time_column("revoked_at", nullable=True),
    comment="Hashed keys of machine clients; the secret itself is shown once and kept nowhere.",
)
