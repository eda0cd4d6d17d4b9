"""What the whole engine adds: memory of steps, addresses of attempts, models, operators."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("enrollment", sa.Column("memory", sa.Text(), nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("address_hash", sa.LargeBinary(), nullable=True))
    _lanes()
    op.create_table(
        "deferral",
        sa.Column("message_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("at", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("until", BIG, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("delivery_event_message", "delivery_event", ["message_id"])
    op.create_table(
        "worker",
        sa.Column("owner", sa.Text(), nullable=False, primary_key=True),
        sa.Column("lease_until", BIG, nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.Text(), nullable=False, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
    )
    op.create_index("idempotency_at", "idempotency", ["at"])
    _models()
    _backfill()
    _releases()
    op.create_table(
        "operation",
        sa.Column("noun", sa.Text(), nullable=False, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
    )


def _lanes() -> None:
    """What was queued before counts as marketing: it goes second, and by the same gates."""
    lane = sa.Column("lane", sa.SmallInteger(), nullable=False, server_default="1")
    op.add_column("message", lane)
    op.drop_index("message_queue", "message")
    op.create_index(
        "message_queue",
        "message",
        ["channel", "lane", "due_at", "id"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )


def _backfill() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("after", BIG, nullable=False),
        sa.Column("last", BIG, nullable=False),
        sa.Column("release", BIG, nullable=False),
        sa.Column("since", BIG, nullable=False),
    )
    op.create_table(
        "draft",
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("concerns", sa.SmallInteger(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=True),
    )


def _models() -> None:
    op.create_table(
        "model_run",
        sa.Column("model", sa.Text(), nullable=False, primary_key=True),
        sa.Column("run", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("cuts", sa.Text(), nullable=False),
    )
    op.create_table(
        "model_score",
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("model", sa.Text(), nullable=False, primary_key=True),
        sa.Column("run", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("percentile", sa.Float(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )


def _releases() -> None:
    op.add_column("release", sa.Column("kind", sa.Text(), nullable=False, server_default="apply"))
    op.add_column("release", sa.Column("summary", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "campaign_move",
        sa.Column("release", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("campaign", sa.Text(), nullable=False, primary_key=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
    )
