"""How Alembic runs our steps: on the connection that `engine.store.migrate` hands over.

There is no alembic.ini: everything is said here and there. SQLite runs DDL inside our transaction
as PostgreSQL does, so a failed step leaves nothing behind.
"""

from alembic import context
from sqlmodel import SQLModel

import engine.tables  # noqa: F401  (declares the target)
from engine.store.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
