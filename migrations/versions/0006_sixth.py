"""Bandits that look at who it is: weights by context, and the context of each exposure."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, name, default in (("bandit_weights", "contexts", "{}"), ("exposure", "context", "")):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=default)
        op.add_column(table, column)
