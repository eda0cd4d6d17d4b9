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
    op.create_index("delivery_event_message", "delivery_event", ["message_id"])
    _models()
    op.create_table(
        "operation",
        sa.Column("noun", sa.Text(), nullable=False, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
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
