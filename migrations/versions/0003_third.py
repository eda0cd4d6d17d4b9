"""What comes back from channels: suppressions that end, who texts us, reports of no use yet."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BATCH = 5_000


def upgrade() -> None:
    op.add_column("contact", sa.Column("suppressed_until", BIG, nullable=True))
    op.add_column("contact", sa.Column("suppressed_by", sa.Text(), nullable=True))
    op.add_column("contact", sa.Column("stopped_at", BIG, nullable=True))
    op.create_index(
        "attempt_provider_id",
        "attempt",
        ["provider_id"],
        sqlite_where=sa.text("provider_id <> ''"),
        postgresql_where=sa.text("provider_id <> ''"),
    )
    op.create_table(
        "soft_bounce",
        sa.Column("address_hash", sa.LargeBinary(), nullable=False, primary_key=True),
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("at", ID, nullable=False, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stray_report",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("event_hash", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("message_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", BIG, nullable=False),
    )
    op.create_index("stray_report_event", "stray_report", ["event_hash"], unique=True)
    op.create_index("stray_report_provider_id", "stray_report", ["provider_id"])
    _holders()
    _accounts()
    _deliverability()
    _placements()
    _people()
    op.create_table(
        "state_dictionary",
        sa.Column("mark", sa.LargeBinary(), nullable=False, primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", BIG, nullable=False),
    )


def _placements() -> None:
    """Web messages that wait for their visitor."""
    op.create_table(
        "placement",
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", BIG, nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("placement_profile", "placement", ["profile_id"])
    op.create_index("placement_expires", "placement", ["expires_at"])


def _deliverability() -> None:
    """Which channel was called, for which mailbox provider, and what failures said."""
    for name in ("account", "domain", "bounce"):
        column = sa.Column(name, sa.Text(), nullable=False, server_default="")
        op.add_column("attempt", column)
    op.create_index("attempt_account", "attempt", ["account", "started_at"])
    op.create_index(
        "attempt_hard",
        "attempt",
        ["started_at"],
        sqlite_where=sa.text("bounce = 'hard'"),
        postgresql_where=sa.text("bounce = 'hard'"),
    )
    op.add_column(
        "delivery_event", sa.Column("bounce", sa.Text(), nullable=False, server_default="")
    )
    trouble = "(kind = 'complained' OR bounce = 'hard')"
    op.create_index(
        "delivery_event_trouble",
        "delivery_event",
        ["at"],
        sqlite_where=sa.text(trouble),
        postgresql_where=sa.text(trouble),
    )


def _people() -> None:
    """What people say (consents to confirm, the words they read) and which links they follow."""
    op.add_column(
        "consent_change", sa.Column("text_version", sa.Text(), nullable=False, server_default="")
    )
    op.create_table(
        "consent_request",
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text(), nullable=False, primary_key=True),
        sa.Column("topic", sa.Text(), nullable=False, primary_key=True),
        sa.Column("asked_at", BIG, nullable=False),
        sa.Column("mailed_at", BIG, nullable=False),
        sa.Column("n_mailed", BIG, nullable=False),
    )
    op.create_table(
        "link_click",
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("link", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("second", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("sign", sa.Text(), nullable=False, primary_key=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("is_told", sa.SmallInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("link_click_at", "link_click", ["is_told", "at"])


def _holders() -> None:
    """Who has which phone number, as the profiles say it now."""
    holder = op.create_table(
        "address_holder",
        sa.Column("address_hash", sa.LargeBinary(), nullable=False, primary_key=True),
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    after = 0
    while rows := connection.execute(
        sa.text("SELECT id, addresses FROM profile WHERE id > :after ORDER BY id LIMIT :n"),
        {"after": after, "n": BATCH},
    ).fetchall():
        numbers = [(row[0], json.loads(row[1]).get("sms")) for row in rows]
        found = [
            {"address_hash": bytes.fromhex(number), "profile_id": profile}
            for profile, number in numbers
            if number
        ]
        if found:
            op.bulk_insert(holder, found)
        after = rows[-1][0]


def _accounts() -> None:
    """A channel used to be its kind: what waits goes on in the lane it waited in."""
    op.add_column("message", sa.Column("account", sa.Text(), nullable=False, server_default=""))
    op.execute(
        "UPDATE message SET account = channel WHERE status IN ('queued', 'deferred', 'attempting')"
    )
    op.drop_index("message_queue", "message")
    op.create_index(
        "message_queue",
        "message",
        ["account", "lane", "due_at", "id"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
