"""The databases of `tests/engine`, for what learns from them."""

from tests.engine.conftest import (
    database,
    database_url,
    empty_url,
    postgres_server,
    postgres_template,
    sqlite_database,
)

__all__ = [
    "database",
    "database_url",
    "empty_url",
    "postgres_server",
    "postgres_template",
    "sqlite_database",
]
