"""Experiments in full: units other than the profile, bandits, frozen analysis plans."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OLD_COLUMNS = (
    "experiment, phase, profile_id, variant, at, probability, campaign, enrollment_id, would_allow"
)


def upgrade() -> None:
    _schedules()
    for name in ("plan", "plan_hash"):
        column = sa.Column(name, sa.Text(), nullable=False, server_default="")
        op.add_column("experiment_phase", column)
    op.create_table(
        "bandit_weights",
        sa.Column("experiment", sa.Text(), nullable=False, primary_key=True),
        sa.Column("phase", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("version", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("since", BIG, nullable=False),
        sa.Column("weights", sa.Text(), nullable=False),
        sa.Column("trained", sa.Text(), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        _widen_by_copy()
    else:
        _widen_in_place()
    op.create_index(
        "exposure_unit",
        "exposure",
        ["experiment", "unit"],
        sqlite_where=sa.text("unit <> ''"),
        postgresql_where=sa.text("unit <> ''"),
    )


def _schedules() -> None:
    op.create_table(
        "schedule",
        sa.Column("name", sa.Text(), nullable=False, primary_key=True),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("next_at", BIG, nullable=True),
        sa.Column("native", sa.Text(), nullable=False),
    )
    op.create_table(
        "leader",
        sa.Column("duty", sa.Text(), nullable=False, primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("held_until", BIG, nullable=False),
    )
    for name, kind, default in (
        ("held_until", BIG, "0"),
        ("tries", BIG, "1"),
        ("engine", sa.Text(), "embedded"),
        ("result", sa.Text(), ""),
    ):
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("schedule_run", column)


def _widen_by_copy() -> None:
    """SQLite cannot change a primary key: another table takes the place of the first."""
    op.rename_table("exposure", "exposure_before")
    op.create_table(
        "exposure",
        sa.Column("experiment", sa.Text(), nullable=False, primary_key=True),
        sa.Column("phase", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("profile_id", ID, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("unit", sa.Text(), nullable=False, primary_key=True, server_default=""),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("enrollment_id", BIG, nullable=False),
        sa.Column("would_allow", sa.Text(), nullable=False),
        sa.Column("allocation", BIG, nullable=False, server_default="0"),
        sa.Column("source", sa.Text(), nullable=False, server_default="journey"),
        sa.Column("flag", sa.Text(), nullable=False, server_default=""),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO exposure ({OLD_COLUMNS}) SELECT {OLD_COLUMNS} FROM exposure_before")
    op.drop_table("exposure_before")


def _widen_in_place() -> None:
    op.add_column("exposure", sa.Column("unit", sa.Text(), nullable=False, server_default=""))
    op.drop_constraint("exposure_pkey", "exposure", type_="primary")
    op.create_primary_key(
        "exposure_pkey", "exposure", ["experiment", "phase", "profile_id", "unit"]
    )
    op.add_column("exposure", sa.Column("allocation", BIG, nullable=False, server_default="0"))
    for name, default in (("source", "journey"), ("flag", "")):
        op.add_column(
            "exposure", sa.Column(name, sa.Text(), nullable=False, server_default=default)
        )
