"""Learning: what a run of a model was made from, what it learnt, and why it says what it says."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name, kind, default in (
        ("as_of", BIG, "0"),
        ("config_hash", sa.Text(), ""),
        ("data_hash", sa.Text(), ""),
        ("code_version", sa.Text(), ""),
        ("seed", BIG, "0"),
        ("metrics", sa.Text(), "{}"),
        ("verdict", sa.Text(), ""),
    ):
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("model_run", column)
    for name in ("parent", "retrain_by"):
        op.add_column("model_run", sa.Column(name, BIG, nullable=True))
    op.create_table(
        "model_artifact",
        sa.Column("model", sa.Text(), nullable=False, primary_key=True),
        sa.Column("run", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("part", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    column = sa.Column("detail", sa.Text(), nullable=False, server_default="")
    op.add_column("model_score", column)
