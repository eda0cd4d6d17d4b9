"""A workspace written in a test, played by the real parts on a real database, clock in hand.

shop = Shop(database, {"campaigns/x.yaml": "..."})
shop.identify("u1"); shop.track("u1", "Product Added", cart_id="c1"); shop.settle()

And `a_server()`: a real HTTP server that answers what the test says and keeps what it was asked.
"""

import asyncio
import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import msgspec

from campaigns.load import load_bundle
from channels.base import Provider
from engine.core.clocktime import iso, parse_instant
from engine.core.model.instants import Instant
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Answer, Terms, prepare
from engine.sending.composing import Links
from engine.sending.outbox import Outbox
from engine.sending.webhooks import open_webhooks
from engine.simulation.replay import applied
from engine.store.connection import Row
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker
from engine.vault import Vault
from tests.campaigns.build import files
from tests.rig.stage import Scripted

SECRET = "the secret of a test"
NOON = parse_instant("2026-03-02T12:00Z")


class Shop:
    """One workspace in one database. `restart` is the next life of the process."""

    def __init__(self, database: Database, changed: Mapping[str, str | None]) -> None:
        self.database = database
        self.now: Instant = NOON
        self.workspace = load_bundle(files(changed), environ={})
        self.vault = Vault({1: SECRET}, entropy=random.Random(1).randbytes)
        self.playbook = applied(database, self.workspace, vault=self.vault, at=NOON)
        self.log = EventLog()
        self.email, self.sms = Scripted("email"), Scripted("sms")
        self._numbers = count(1)
        self.restart()

    def restart(self) -> None:
        self.ticker = Ticker(self.database, vault=self.vault, log=self.log)
        self.ticker.claim(now=self.now)

    # --- what happens -----------------------------------------------------------------------

    def identify(self, user: str, **traits: Any) -> None:
        consent = {"email": {"offers": True}, "sms": {"offers": True}}
        given = {"email": f"{user}@example.com", "consent": consent, **traits}
        self.send({"type": "identify", "userId": user, "traits": given})

    def track(self, user: str, event: str, **properties: Any) -> None:
        self.send({"type": "track", "userId": user, "event": event, "properties": properties})

    def send(self, item: dict[str, Any]) -> list[Answer]:
        call = {"messageId": f"m{next(self._numbers)}", "timestamp": iso(self.now), **item}
        terms = Terms(declared=declared(self.workspace), entropy=random.Random(2).randbytes)
        prepared = prepare(
            msgspec.json.encode({"batch": [call]}), kind="batch", terms=terms, received_at=self.now
        )
        with self.database.write() as connection:
            return self.ingest().commit(connection, [prepared], now=self.now)[0]

    def ingest(self) -> Ingest:
        return Ingest(vault=self.vault, log=self.log, zone=str(self.workspace.settings.zone))

    def settle(self, *, until: str | None = None) -> None:
        """Tick until nothing is due, now and at each due instant up to `until`."""
        end = self.now if until is None else parse_instant(until)
        while True:
            while not self.ticker.tick(self.playbook, floor=self.now, horizon=self.now).is_idle:
                pass
            rows = self.rows("SELECT min(due) FROM timer")
            if rows[0][0] is None or rows[0][0] > end:
                break
            self.now = max(self.now, int(rows[0][0]))
        self.now = max(self.now, end)

    def drain(self, channel: str) -> int:
        """One pass over a channel, as `serve` makes it; gives the number of attempts."""

        async def once() -> int:
            webhooks = open_webhooks("http", now=lambda: self.now, is_local=True)
            providers: dict[str, Provider] = {
                "email": self.email, "sms": self.sms, "webhook": webhooks,
            }  # fmt: skip
            outbox = Outbox(
                self.database,
                vault=self.vault,
                providers=providers,
                links=Links("https://shop.example", b"0123456789abcdef"),
                rng=random.Random(3),
                log=self.log,
            )
            try:
                outbox.recover(self.playbook, now=self.now)
                return (await outbox.drain(self.playbook, channel, now=self.now)).n_attempts
            finally:
                with suppress(OSError):
                    await webhooks.close()

        return asyncio.run(once())

    # --- what can be seen -------------------------------------------------------------------

    def rows(self, sql: str, *params: Any) -> list[Row]:
        with self.database.read() as connection:
            return connection.execute(sql, params)

    def messages(self, channel: str) -> list[Row]:
        """(status, reason) of every message of a channel, in order."""
        return self.rows(
            "SELECT status, reason FROM message WHERE channel = ? ORDER BY id", channel
        )

    def enrollments(self) -> list[Row]:
        """(status, step, reason) of every enrollment, in order."""
        return self.rows("SELECT status, step, reason FROM enrollment ORDER BY id")

    def own_events(self, name: str) -> list[Any]:
        rows = self.rows("SELECT properties FROM event WHERE name = ? ORDER BY seq", name)
        return [json.loads(row[0]) for row in rows]


@dataclass
class Asked:
    """One request that reached the server."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """Where it listens, what it will answer (the last for ever), and what it was asked."""

    url: str
    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, b"{}")])
    asked: list[Asked] = field(default_factory=list)
    seconds: float = 0.0


@contextmanager
def a_server() -> Iterator[Server]:
    """A server on this machine for as long as the block runs."""
    wait = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(
                Asked(self.command, self.path, headers, json.loads(body) if body else None)
            )
            wait.wait(server.seconds)
            status, content = (
                server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            )
            with suppress(OSError):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        wait.set()
        listening.shutdown()
        listening.server_close()
        thread.join()
