"""Many queued messages at once, written straight into the table as the tick would leave them."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

from channels.base import (
    Capabilities,
    Channel,
    OutMessage,
    Receipt,
)
from channels.callbacks import Callback, Echo
from engine.core.model.instants import NEVER, Instant
from engine.store import bulk
from engine.store.outcomes import MESSAGE_COLUMNS
from engine.store.queue import MARKETING, TRANSACTIONAL
from tests.rig.stage import Stage


@dataclass(frozen=True)
class Kind:
    """What is sent: its channel, topic and template, and what the template needs."""

    channel: Channel
    topic: str
    template: str
    context: str

    @property
    def lane(self) -> int:
        return TRANSACTIONAL if self.topic == "orders" else MARKETING


RECEIPT = Kind("email", "orders", "receipt", '{"event":{"order":"o1"}}')
OFFER = Kind("email", "offers", "last", "{}")
TEXT = Kind("sms", "offers", "hard", '{"event":{"cart":"c1"}}')
TEXT_RECEIPT = Kind("sms", "orders", "hard", '{"event":{"cart":"c1"}}')


class Crowd:
    """People on a stage, and messages for them; each person in turn."""

    def __init__(self, stage: Stage, *, n_people: int) -> None:
        self._stage = stage
        for number in range(1, n_people + 1):
            stage.identify(f"u{number}")
        stage.settle()
        rows = stage.rows("SELECT id FROM profile ORDER BY id")
        self._people = [row[0] for row in rows]
        self._last = 1_000_000

    def queue(self, kind: Kind, n: int, *, at: Instant, expires_at: Instant = NEVER) -> list[int]:
        """Queue `n` messages that are due `at` an instant; their ids."""
        first, self._last = self._last + 1, self._last + n
        ids = list(range(first, first + n))
        self._stage.process.write(
            lambda connection: bulk.insert(
                connection,
                "message",
                MESSAGE_COLUMNS,
                [self._row(id, kind, at, expires_at) for id in ids],
            )
        )
        return ids

    def _row(self, id: int, kind: Kind, at: Instant, expires_at: Instant) -> tuple[object, ...]:
        given = dict.fromkeys(MESSAGE_COLUMNS, "")
        row = given | {
            "id": id, "profile_id": self._people[id % len(self._people)], "enrollment_id": id,
            "campaign": "cart", "version": "v1", "step": "last", "visit": 1,
            "channel": kind.channel, "account": kind.channel, "topic": kind.topic,
            "template": kind.template,
            "status": "queued", "at": at, "due_at": at, "expires_at": expires_at,
            "context": kind.context, "lane": kind.lane,
        }  # fmt: skip
        return tuple(row[name] for name in MESSAGE_COLUMNS)


class Server:
    """A provider with a ledger of its own: when which message was called for, and if it was taken.

    Subclasses say in `answer` what happens to a call; with `idempotency_hours` a message whose
    key was taken within that time is not taken again.
    """

    def __init__(self, channel: Channel, *, idempotency_hours: int = 0, seed: int = 0) -> None:
        self.name = f"server-{channel}"
        self.channel = channel
        self.capabilities = Capabilities(idempotency_hours=idempotency_hours, is_sandbox=True)
        self.rng = random.Random(seed)
        self.calls: list[tuple[float, int]] = []
        self.taken: list[tuple[float, int]] = []
        self.ambiguous = 0
        self._keys: dict[str, float] = {}

    def present(self) -> float:
        """Seconds on the clock of whoever calls."""
        return asyncio.get_running_loop().time()

    def answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        """What the caller is told, and whether the message is taken."""
        raise NotImplementedError

    async def deliver(self, message: OutMessage) -> Receipt:
        now = self.present()
        self.calls.append((now, message.id))
        receipt, is_taken = self.answer(message)
        if is_taken:
            self._take(message, now)
        return receipt

    def _take(self, message: OutMessage, now: float) -> None:
        known = self._keys.get(message.idempotency_key)
        hours = self.capabilities.idempotency_hours
        if known is not None and now - known < hours * 3600:
            return
        self._keys[message.idempotency_key] = now
        self.taken.append((now, message.id))

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Callback) -> Echo:
        raise AssertionError("nobody reads a webhook here")


def counted(stage: Stage, ids: Iterable[int]) -> dict[str, int]:
    """How many of these messages have which status."""
    wanted = set(ids)
    found: dict[str, int] = {}
    for id, status in stage.rows("SELECT id, status FROM message"):
        if id in wanted:
            found[status] = found.get(status, 0) + 1
    return found
