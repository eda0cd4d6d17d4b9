"""Twenty real SIGKILLs of `antiphon serve` under load: nothing acknowledged is lost or doubled.

The rig (`test_simulation`) kills at named places; this kills wherever the process happens to be,
with its threads, its group commit and the operating system's pages. The sandbox's log, written
line by line before it answers, stands for the provider's own ledger.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.database import Database
from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key, post

KILLS = 20
CLIENTS = 3
DRAIN_SECONDS_MAX = 60.0

SETTINGS = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}, orders: {transactional: true}}
traits: {email: {type: email, pii: true}}
channels:
  email:
    provider: sandbox
    from: "Shop <shop@example.com>"
    write: log
    rates: {hard_bounce: 0, soft_bounce: 0, complained: 0, unsubscribed: 0}
"""
RECEIPT = """\
campaign: receipt
trigger: {event: Order Completed, key: properties.order}
topic: orders
journey:
  - send: {channel: email, template: note}
"""
REMINDER = """\
campaign: reminder
trigger: {event: Product Added, key: properties.order}
topic: offers
journey:
  - delay: 1s
    id: settle
  - send: {channel: email, template: note}
"""
NOTE = "---\nsubject: Your order\n---\nAbout {{ event.order }}. {{ unsubscribe_url }}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A workspace that sends one message for every event: at once, or after a second."""
    folder = tmp_path / "shop"
    for name, text in {
        "antiphon.yaml": SETTINGS,
        "campaigns/receipt.yaml": RECEIPT,
        "campaigns/reminder.yaml": REMINDER,
        "templates/email/note.txt": NOTE,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    applied = command("apply", folder)
    assert applied.returncode == 0, applied.stderr
    return folder


class Load:
    """Clients that send orders until the server dies, and then remember what they must repeat."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self._unsure: list[list[str]] = []
        self._is_over = threading.Event()

    def stop(self) -> None:
        """End the clients although their server lives."""
        self._is_over.set()

    def against(self, served: Served, key: str, *, life: int) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._send, args=(served, key, f"{life}-{number}"))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def repeat_all(self, served: Served, key: str) -> None:
        while self._unsure:
            names = self._unsure.pop()
            status, _ = post(served, "/v1/batch", {"batch": _batch(names)}, key)
            assert status == 200
            self.acknowledged.update(names)

    def _send(self, served: Served, key: str, name: str) -> None:
        for number in range(10_000):
            if self._is_over.is_set():
                return
            fresh = [f"{name}-{number}-{item}" for item in range(4)]
            # Now and then what nobody answered in an earlier life, with the same ids.
            again = [self._unsure.pop()] if self._unsure else []
            for names in (*again, fresh):
                self.sent.update(names)
                try:
                    status, _ = post(served, "/v1/batch", {"batch": _batch(names)}, key)
                except (OSError, ValueError):
                    self._unsure.append(names)
                    return
                if status == 200:
                    self.acknowledged.update(names)
                else:
                    self._unsure.append(names)
            time.sleep(0.02)


def _batch(names: list[str]) -> list[dict[str, Any]]:
    """For each name an order (which is receipted) or a cart (which is reminded of)."""
    events = ("Order Completed", "Product Added")
    consent = {"email": {"offers": True}}
    return [
        {
            "type": "track",
            "messageId": name,
            "userId": f"user-{sum(map(ord, name)) % 40}",
            "event": events[sum(map(ord, name)) % 2],
            "properties": {"order": name},
            "context": {"traits": {"email": "u@example.com", "consent": consent}},
        }
        for name in names
    ]


@pytest.fixture
def lives() -> Iterator[list[Served]]:
    served: list[Served] = []
    yield served
    for each in served:
        if each.process.poll() is None:
            each.kill()


@pytest.mark.slow
def test_twenty_kills_under_load_lose_nothing_and_repeat_no_step(
    shop: Path, lives: list[Served]
) -> None:
    rng = random.Random(20)
    load = Load()
    key = ""

    for life in range(KILLS):
        lives.append(Served(shop))
        key = key or a_key(shop)
        threads = load.against(lives[-1], key, life=life)
        time.sleep(0.05 + rng.random() * 0.7)
        lives[-1].kill()
        for thread in threads:
            thread.join()
    lives.append(Served(shop))
    load.repeat_all(lives[-1], key)
    _drain(shop)
    assert lives[-1].terminate() == 0

    # P1, P2: every event that was answered, and of every event sent exactly one.
    events = Counter(json.loads(text)["order"] for (text,) in _rows(shop, _EVENTS))
    assert len(load.acknowledged) > 10 * KILLS
    assert load.acknowledged - events.keys() == set()
    assert set(events) <= load.sent
    assert set(events.values()) == {1}
    # P3: each of them is one enrollment that ended, and one message.
    enrollments = Counter(key for key, _ in _rows(shop, "SELECT key, status FROM enrollment"))
    assert enrollments == events
    assert _rows(shop, "SELECT DISTINCT status FROM enrollment") == [("done",)]
    messages = _rows(shop, "SELECT id, topic, status FROM message")
    assert len(messages) == len(events)
    # P4: what the provider's ledger holds against what we say.
    ledger = _ledger(shop)
    ambiguous = Counter(
        id for (id,) in _rows(shop, "SELECT message_id FROM attempt WHERE outcome = 'ambiguous'")
    )
    assert {status for _, _, status in messages} <= {"sent", "unknown"}
    for id, topic, status in messages:
        n = ledger[id]
        if status == "sent":
            assert n >= 1, f"message {id} is sent, the provider never had it"
        if topic == "offers":
            assert n <= 1, f"message {id} is marketing and was accepted {n} times"
            assert (status == "unknown") == (ambiguous[id] > 0)
        else:
            assert status == "sent"
            assert n - 1 <= ambiguous[id]


_EVENTS = "SELECT properties FROM event WHERE name IN ('Order Completed', 'Product Added')"


def _drain(shop: Path) -> None:
    """Wait until the last life has played and sent everything."""
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    waiting = (
        "SELECT (SELECT count(*) FROM enrollment WHERE status = 'active') + "
        "(SELECT count(*) FROM message WHERE status IN ('queued', 'attempting', 'deferred')) + "
        "(SELECT count(*) FROM event WHERE seq > (SELECT min(position) FROM partition))"
    )
    left = [(1,)]
    while left != [(0,)]:
        assert time.monotonic() < deadline, f"{left[0][0]} are still under way"
        time.sleep(0.2)
        left = _rows(shop, waiting)


def _rows(shop: Path, sql: str) -> list[Any]:
    (path,) = (shop / ".antiphon").glob("*.db")
    database = Database(f"sqlite:///{path}", read_only=True)
    try:
        with database.read() as connection:
            return connection.execute(sql)
    finally:
        database.close()


def _ledger(shop: Path) -> Counter[int]:
    """How often the sandbox accepted each message."""
    lines = [
        line
        for path in (shop / ".antiphon" / "outbox").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return Counter(int(json.loads(line)["id"]) for line in lines)
