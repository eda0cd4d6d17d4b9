"""The web app over real parts (store, ingest, vault), without the engine's threads.

`accept` commits each request in a transaction of its own, on its own thread: what the group commit
does for many at once. A test may put another `accept` in its place to stand for an overload.
"""

import base64
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from channels.tokens import make_token
from engine.core.model.campaigns import Program
from engine.intake.declared import Declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Answer, Prepared, Terms
from engine.intake.triggering import accept_trigger
from engine.settings import link_key, link_ring, read_settings
from engine.steady import present
from engine.store import keys
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.vault import Vault
from engine.web.app import create_app
from engine.web.gauges import Gauges
from engine.web.keyring import Budget, KeyRing
from engine.web.readers import Readers
from engine.web.services import Services

PAGE_TOKEN = "page-token-of-the-test"
LOCAL_TOKEN = "local-token-of-the-test"


@dataclass
class App:
    """A client, and what a test may want to look at or change behind it."""

    client: TestClient
    services: Services
    database: Database
    server_key: str
    browser_key: str
    link_key: bytes

    def post(self, path: str, body: Any, *, key: str | None = None, **more: Any) -> Any:
        headers = {**basic(self.server_key if key is None else key), **more.pop("headers", {})}
        return self.client.post(path, json=body, headers=headers, **more)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return connection.execute(sql)

    def token(self, kind: Any, message: int, *, index: int = 0) -> str:
        return make_token(kind, message, index=index, key=self.link_key)


@contextmanager
def an_app(
    database: Database,
    directory: Path,
    *,
    environ: dict[str, str] | None = None,
    program: Program | None = None,
    local: dict[str, Callable[[Any], Any]] | None = None,
    is_open: bool = False,
    destination: str | None = None,
    readers: Readers | None = None,
) -> Iterator[App]:
    """An app over the database of the test."""
    settings = read_settings(
        directory, environ={"ANTIPHON_DATABASE_URL": database.url, **(environ or {})}
    )
    log = EventLog()
    vault = Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
    ingest = Ingest(vault=vault, log=log)
    threads = ThreadPoolExecutor(4)

    def write(change: Callable[[Connection], Any]) -> Future[Any]:
        def run() -> Any:
            with database.write() as connection:
                return change(connection)

        return threads.submit(run)

    def accept(prepared: Prepared) -> Future[list[Answer]]:
        return write(lambda connection: ingest.commit(connection, [prepared], now=present())[0])

    def usable() -> dict[bytes, Any]:
        with database.read() as connection:
            return keys.valid(connection)

    with database.write() as connection:
        made = [
            keys.create(
                connection, kind=kind, label="", entropy=secrets.token_bytes(30), now=present()
            )[1]
            for kind in ("server", "browser")
        ]
    services = Services(
        settings=settings,
        database=database,
        log=log,
        clock=present,
        terms=lambda kind: Terms(
            declared=Declared(), entropy=secrets.token_bytes, source=f"api:{kind}", key=kind
        ),
        accept=accept,
        trigger=lambda call: write(
            lambda connection: accept_trigger(
                connection, call, ingest=Ingest(vault=vault, log=log), now=present()
            )
        ),
        write=write,
        reads=threads,
        gauges=Gauges(database, clock=present),
        keys=KeyRing(usable, clock=present),
        budget=Budget(per_second=settings.key_events_per_second_max, clock=present),
        link_keys=link_ring(settings),
        waiting=lambda: 0,
        program=lambda: program,
        not_ready=lambda: "" if program else "Nothing is applied to this database yet.",
        tick_lag_seconds=lambda: 0.0,
        destination=lambda _message, index: destination if index == 0 else None,
        local_token=LOCAL_TOKEN,
        page_token=PAGE_TOKEN,
        local=local or {},
        is_open=is_open,
        public_url="https://shop.example",
        readers=readers,
        address_hash=vault.address_hash,
        vault=vault,
    )
    client = TestClient(create_app(services), raise_server_exceptions=False, follow_redirects=False)
    with client:
        yield App(client, services, database, made[0], made[1], link_key(settings))
    threads.shutdown(wait=True)


def basic(key: str) -> dict[str, str]:
    """The header that the Segment SDKs send."""
    return {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}
