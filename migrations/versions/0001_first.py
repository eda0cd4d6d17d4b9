"""The first schema: everything `engine/tables.py` declares, and the view over the event log."""

import sqlalchemy as sa
from alembic import op

from engine.store.events import create_view

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

PARTITIONS = 16
"""Shares that owners can take; profiles fall into them by id modulo this number."""


def upgrade() -> None:
    _the_house()
    _people()
    _events()
    _journeys_and_messages()
    _versions_and_experiments()


def _the_house() -> None:
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("value", BIG, nullable=False),
    )
    op.create_table(
        "partition",
        sa.Column("number", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("lease_until", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
    )
    op.create_table(
        "write_key",
        sa.Column("id", sa.Text(), nullable=False, primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("revoked_at", BIG, nullable=True),
    )
    op.create_table(
        "schedule_run",
        sa.Column("schedule", sa.Text(), nullable=False, primary_key=True),
        sa.Column("fire_at", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("finished_at", BIG, nullable=True),
    )


def _people() -> None:
    op.create_table(
        "profile",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("zone_from", sa.Text(), nullable=False),
        sa.Column("traits", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("data_key", sa.LargeBinary(), nullable=True),
        sa.Column("merged_into", BIG, nullable=True),
        sa.Column("erased_at", BIG, nullable=True),
    )
    op.create_table(
        "identity",
        sa.Column("kind", sa.Text(), nullable=False, primary_key=True),
        sa.Column("value", sa.Text(), nullable=False, primary_key=True),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
    )
    op.create_index("identity_profile", "identity", ["profile_id"], unique=False)
    op.create_table(
        "profile_state",
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "timer",
        sa.Column("due", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "membership",
        sa.Column("segment", sa.Text(), nullable=False, primary_key=True),
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("since", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contact",
        sa.Column("address_hash", sa.LargeBinary(), nullable=False, primary_key=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("suppressed", sa.Text(), nullable=True),
        sa.Column("suppressed_at", BIG, nullable=True),
        sa.Column("withdrawn", sa.Text(), nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
    )
    op.create_index(
        "contact_closed",
        "contact",
        ["address_hash"],
        unique=True,
        sqlite_where=sa.text("(suppressed IS NOT NULL OR withdrawn <> '[]')"),
        postgresql_where=sa.text("(suppressed IS NOT NULL OR withdrawn <> '[]')"),
    )
    op.create_table(
        "consent_change",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("granted", sa.SmallInteger(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
    )
    op.create_index("consent_change_profile", "consent_change", ["profile_id"], unique=False)


def _events() -> None:
    op.create_table(
        "event_1",
        sa.Column("seq", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("message_hash", sa.LargeBinary(), nullable=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("accepted_at", BIG, nullable=False),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("traits", sa.Text(), nullable=True),
    )
    op.create_index("event_1_message", "event_1", ["message_hash"], unique=True)
    op.create_index("event_1_profile", "event_1", ["profile_id", "at"], unique=False)
    create_view(op.execute, parts=[1])
    for number in range(PARTITIONS):
        op.execute(
            "INSERT INTO partition (number, owner, epoch, lease_until, position, attempts) "
            f"VALUES ({number}, '', 0, 0, 0, 0)"
        )


def _journeys_and_messages() -> None:
    op.create_table(
        "enrollment",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("entered_at", BIG, nullable=False),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("step_at", BIG, nullable=False),
        sa.Column("due_at", BIG, nullable=False),
        sa.Column("visit", BIG, nullable=False),
        sa.Column("trigger_seq", BIG, nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("message", BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("enrollment_profile", "enrollment", ["profile_id"], unique=False)
    op.create_table(
        "message",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("enrollment_id", BIG, nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("visit", BIG, nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("due_at", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
    )
    op.create_index(
        "message_queue",
        "message",
        ["channel", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("message_step", "message", ["enrollment_id", "step", "visit"], unique=True)
    op.create_table(
        "attempt",
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("number", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("started_at", BIG, nullable=False),
        sa.Column("finished_at", BIG, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
    )
    op.create_table(
        "delivery",
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("opened_at", BIG, nullable=True),
        sa.Column("clicked_at", BIG, nullable=True),
    )
    op.create_table(
        "delivery_event",
        sa.Column("event_hash", sa.LargeBinary(), nullable=False, primary_key=True),
        sa.Column("message_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
    )
    op.create_table(
        "parked",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("ref", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("parked_at", BIG, nullable=False),
        sa.Column("replayed_at", BIG, nullable=True),
    )


def _versions_and_experiments() -> None:
    op.create_table(
        "release",
        sa.Column("number", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("applied_at", BIG, nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "campaign_version",
        sa.Column("campaign", sa.Text(), nullable=False, primary_key=True),
        sa.Column("version", sa.Text(), nullable=False, primary_key=True),
        sa.Column("release", BIG, nullable=False),
    )
    op.create_table(
        "experiment_phase",
        sa.Column("experiment", sa.Text(), nullable=False, primary_key=True),
        sa.Column("phase", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("started_at", BIG, nullable=False),
    )
    op.create_table(
        "exposure",
        sa.Column("experiment", sa.Text(), nullable=False, primary_key=True),
        sa.Column("phase", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("enrollment_id", BIG, nullable=False),
        sa.Column("would_allow", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
