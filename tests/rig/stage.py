"""A running engine for plain tests: one process, a clock that stands still, providers on a script.

stage = Stage(url)
stage.identify("u1")
stage.track("u1", "Order Completed", order="o1")
stage.tick()
stage.drain("email")
"""

import asyncio
import random
from itertools import count
from typing import Any

import msgspec

from channels.base import Accepted, Capabilities, Channel, OutMessage, Provider, Receipt
from channels.callbacks import Callback, Echo
from channels.delivery import DeliveryEvent
from engine.core.clocktime import iso
from engine.core.model.instants import MINUTE, Instant
from engine.hearing.feedback import take_in
from engine.intake.prepare import Answer, prepare
from engine.sending.outbox import Drained
from engine.store.connection import Row
from engine.ticking.tick import Ticked
from tests.rig.process import Process

NOON: Instant = 1_772_452_800_000_000
"""2026-03-02T12:00Z, a Monday, outside of all quiet hours."""


class Scripted:
    """A provider that answers what it is told to, then Accepted; `calls` keeps what it got."""

    def __init__(self, channel: Channel, *, idempotency_hours: int = 0) -> None:
        self.name = f"scripted-{channel}"
        self.channel = channel
        self.capabilities = Capabilities(idempotency_hours=idempotency_hours, is_sandbox=True)
        self.script: list[Receipt | Exception] = []
        self.calls: list[OutMessage] = []

    async def deliver(self, message: OutMessage) -> Receipt:
        self.calls.append(message)
        answer = self.script.pop(0) if self.script else Accepted(f"p{len(self.calls)}")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Callback) -> Echo:
        raise AssertionError("no test of the shell reads a webhook")


class Stage:
    """One database and the process that works on it; `restart` gives the next life."""

    def __init__(self, url: str, *, now: Instant = NOON) -> None:
        self.url = url
        self.now = now
        self.email = Scripted("email")
        self.sms = Scripted("sms", idempotency_hours=24)
        self._numbers = count(1)
        self._lives = count(1)
        self.process = self._a_process()

    def restart(self) -> None:
        """The process is gone with all it had in memory; another starts."""
        self.process.database.close()
        self.process = self._a_process()

    def close(self) -> None:
        self.process.database.close()

    def _a_process(self) -> Process:
        providers: dict[str, Provider] = {"email": self.email, "sms": self.sms}
        process = Process(
            self.url,
            rng=random.Random(1),
            clock=lambda: self.now,
            providers=lambda _: providers,
            events_per_part=500_000,
            name=f"life {next(self._lives)}",
        )
        process.start(now=self.now)
        return process

    # --- what happens -----------------------------------------------------------------------

    def send(self, *items: dict[str, Any]) -> list[Answer]:
        """Hand in one batch; ids and times are filled in where they lack."""
        batch = [
            {"messageId": f"m{next(self._numbers)}", "timestamp": iso(self.now), **item}
            for item in items
        ]
        prepared = prepare(
            msgspec.json.encode({"batch": batch}),
            kind="batch",
            terms=self.process.terms,
            received_at=self.now,
        )
        future = self.process.commits.submit(prepared)
        self.process.commits._take_turn()
        return future.result(timeout=0)

    def identify(self, user: str, **traits: Any) -> None:
        """Someone with an address and every consent, unless told otherwise."""
        consent = {"email": {"offers": True}, "sms": {"offers": True}}
        number = f"+491510000{user[1:]:>04}"
        given = {"email": f"{user}@example.com", "phone": number, "consent": consent, **traits}
        self.send({"type": "identify", "userId": user, "traits": given})

    def track(self, user: str, event: str, **properties: Any) -> None:
        self.send(an_event(user, event, **properties))

    def tick(self, *, limit: int = 1_000, floor: Instant | None = None) -> Ticked:
        """One batch as of now."""
        at = self.now if floor is None else floor
        return self.process.ticker.tick(
            self.process.playbook, floor=at, horizon=self.now, limit=limit
        )

    def settle(self, *, until: Instant | None = None) -> None:
        """Tick until nothing is due, now or at every instant up to `until`."""
        if until is not None:
            self.settle()
            while (due := self._next_due()) is not None and due <= until:
                self.now = max(self.now, due)
                self.settle()
            self.now = max(self.now, until)
        while not self.tick().is_idle:
            pass

    def drain(self, channel: str = "email") -> Drained:
        return asyncio.run(self.process.outbox.drain(self.process.playbook, channel, now=self.now))

    def report(self, *reports: DeliveryEvent, provider: str = "scripted-email") -> int:
        found: int = self.process.write(
            lambda connection: take_in(
                connection, reports, provider=provider, log=self.process.log, now=self.now
            )
        )
        return found

    def a_receipt(self, user: str = "u1", order: str = "o1") -> None:
        """A transactional message, queued."""
        self.track(user, "Order Completed", order=order)
        self.settle()

    def a_cart_message(self, user: str = "u1") -> None:
        """A marketing message by e-mail, queued: profile 1 is nudged softly, and not held out."""
        self.track(user, "Product Added", cart="c1")
        self.settle(until=self.now + 31 * MINUTE)

    # --- what can be seen -------------------------------------------------------------------

    def rows(self, sql: str, *params: Any) -> list[Row]:
        with self.process.database.read() as connection:
            return connection.execute(sql, params)

    def messages(self, template: str) -> list[Row]:
        """(status, reason) of every message of a template, in order."""
        return self.rows(
            "SELECT status, reason FROM message WHERE template = ? ORDER BY id", template
        )

    def attempts(self) -> list[str]:
        """The outcomes of all attempts, in order."""
        found = self.rows("SELECT outcome FROM attempt ORDER BY message_id, number")
        return [row[0] for row in found]

    def state(self, user: str) -> Any:
        from engine.store import people

        with self.process.database.read() as connection:
            rows = connection.execute(
                "SELECT profile_id FROM identity WHERE kind = 'user' AND value = ?", (user,)
            )
            return people.load(connection, [rows[0][0]])[rows[0][0]].person

    def _next_due(self) -> Instant | None:
        due = self.rows("SELECT min(due) FROM timer")[0][0]
        return None if due is None else int(due)


def an_event(user: str, event: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, "properties": properties}
