"""P10: once an unsubscribe is acknowledged, no new attempt commits. On both databases."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.consent.unsubscribe import Withdrawal, offered, withdraw
from engine.core.model.instants import NEVER
from engine.store import bulk, queue
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.store.outcomes import MESSAGE_COLUMNS
from tests.rig.sizes import scaled

NOW = 1_772_442_000_000_000  # 2026-03-02T09:00Z
INTERLEAVINGS = scaled(200)


def a_profile(connection: Connection, id: int, **changes: Any) -> None:
    row = {
        "id": id, "external_id": f"u{id}", "created_at": NOW, "zone": "UTC", "zone_from": "",
        "traits": "{}", "sealed": "{}", "addresses": f'{{"email": "{address_of(id).hex()}"}}',
        "consent": "{}", "data_key": None, "merged_into": None, "erased_at": None, **changes,
    }  # fmt: skip
    bulk.insert(connection, "profile", tuple(row), [tuple(row.values())])


def a_message(connection: Connection, id: int, *, profile: int, **changes: Any) -> None:
    row = dict.fromkeys(MESSAGE_COLUMNS, "")
    row |= {
        "id": id, "profile_id": profile, "enrollment_id": id, "campaign": "cart", "step": "send",
        "visit": 1, "channel": "email", "account": "email", "topic": "offers", "template": "cart",
        "status": "queued",
        "at": NOW, "due_at": NOW, "expires_at": NEVER, "context": "{}", "lane": 1,
        **changes,
    }  # fmt: skip
    bulk.insert(connection, "message", MESSAGE_COLUMNS, [tuple(row.values())])


def address_of(profile: int) -> bytes:
    return profile.to_bytes(16, "big")


def unsubscribe(database: Database, message: int, *, scope: Any = "topic") -> Withdrawal | None:
    with database.write() as connection:
        return withdraw(
            connection, message=message, scope=scope, log=EventLog(), now=NOW, proof="test"
        )


def withdrawn(database: Database, profile: int) -> str | None:
    with database.read() as connection:
        rows = connection.execute(
            "SELECT withdrawn FROM contact WHERE address_hash = ?", (address_of(profile),)
        )
    return rows[0][0] if rows else None


def n_rows(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}")[0][0])


def test_a_withdrawal_stands_on_the_contact_row_in_the_ledger_and_in_the_log(
    database: Database,
) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)

    done = unsubscribe(database, 7)

    assert done == Withdrawal("email", "offers", is_repeated=False)
    assert withdrawn(database, 1) == '["offers"]'
    with database.read() as connection:
        ledger = connection.execute(
            "SELECT profile_id, channel, topic, granted, at, source, proof FROM consent_change"
        )
        events = connection.execute("SELECT profile_id, name, flags FROM event")
        delivery = connection.execute("SELECT message_id, status FROM delivery")
    assert ledger == [(1, "email", "offers", 0, NOW, "unsubscribe link", "test")]
    assert events == [(1, "Message Unsubscribed", 0)]
    assert delivery == [(7, "unsubscribed")]


def test_asking_twice_is_fine_and_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
    unsubscribe(database, 7)

    again = unsubscribe(database, 7)

    assert again == Withdrawal("email", "offers", is_repeated=True)
    assert n_rows(database, "consent_change") == 1
    assert n_rows(database, "event") == 1


def test_all_marketing_covers_every_topic_and_stays_when_one_topic_follows(
    database: Database,
) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
        a_message(connection, 8, profile=1, topic="news")

    unsubscribe(database, 8)
    unsubscribe(database, 7, scope="all")
    unsubscribe(database, 7)

    assert withdrawn(database, 1) == '["*"]'
    assert n_rows(database, "consent_change") == 3


def test_a_message_without_topic_withdraws_from_all_marketing(database: Database) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1, topic="")

    done = unsubscribe(database, 7)

    assert done is not None
    assert done.topic == "*"
    assert withdrawn(database, 1) == '["*"]'


def test_after_a_merge_the_person_who_remains_is_withdrawn(database: Database) -> None:
    with database.write() as connection:
        a_profile(connection, 1, merged_into=2)
        a_profile(connection, 2)
        a_message(connection, 7, profile=1)

    unsubscribe(database, 7)

    assert withdrawn(database, 2) == '["offers"]'
    assert withdrawn(database, 1) is None


def test_a_person_who_agreed_again_can_withdraw_again(database: Database) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
    unsubscribe(database, 7)
    with database.write() as connection:
        connection.execute("UPDATE contact SET withdrawn = '[]'")

    unsubscribe(database, 7)

    assert withdrawn(database, 1) == '["offers"]'


def test_an_unknown_message_offers_and_withdraws_nothing(database: Database) -> None:
    with database.read() as connection:
        offer = offered(connection, 99)

    done = unsubscribe(database, 99)

    assert offer is None
    assert done is None
    assert n_rows(database, "contact") == 0


def attempt(database: Database, message: int, *, locks: bool = True, pause: Any = None) -> bool:
    """What the outbox does: lock the contact row, look, commit the attempt."""
    with database.write() as connection:
        if locks:
            key = ("email", address_of(message).hex())
            contact = queue.locked_contacts(connection, [key], now=NOW).get(key[1])
            may_send = contact is None or not contact.withdrawn
        else:
            rows = connection.execute(
                "SELECT withdrawn FROM contact WHERE address_hash = ?", (address_of(message),)
            )
            may_send = not rows or rows[0][0] == "[]"
        if pause is not None:
            pause()
        if not may_send:
            return False
        attempt = queue.Beginning(message, "sandbox", "", NOW, None)
        return bool(queue.begin_attempts(connection, [attempt]))


def attempts_of(database: Database, message: int) -> int:
    with database.read() as connection:
        rows = connection.execute("SELECT count(*) FROM attempt WHERE message_id = ?", (message,))
    return int(rows[0][0])


def race(
    database: Database, message: int, *, attempting: Callable[[], bool], pauses: tuple[float, float]
) -> tuple[int, int]:
    """Attempt and withdraw at once; (attempts seen right after the acknowledgement, at the end)."""
    start = threading.Barrier(2)

    def attempts() -> bool:
        start.wait()
        time.sleep(pauses[0])
        return attempting()

    def withdraws() -> int:
        start.wait()
        time.sleep(pauses[1])
        unsubscribe(database, message)
        return attempts_of(database, message)  # the acknowledgement: the commit has returned

    with ThreadPoolExecutor(2) as threads:
        attempted = threads.submit(attempts)
        at_acknowledgement = threads.submit(withdraws).result(timeout=20)
        attempted.result(timeout=20)
    return at_acknowledgement, attempts_of(database, message)


def test_no_attempt_commits_after_the_acknowledgement_whatever_the_interleaving(
    database: Database,
) -> None:
    rng = random.Random(10)
    with database.write() as connection:
        for number in range(1, INTERLEAVINGS + 1):
            a_profile(connection, number)
            a_message(connection, number, profile=number)

    outcomes = []
    for number in range(1, INTERLEAVINGS + 1):
        outcomes.append(
            race(
                database,
                number,
                attempting=lambda number=number: attempt(database, number),
                pauses=(rng.random() * 0.003, rng.random() * 0.003),
            )
        )

    late = [outcome for outcome in outcomes if outcome[1] > outcome[0]]
    assert late == []
    # Both orders happened, or the race proved nothing.
    assert {before for before, _ in outcomes} == {0, 1}


def test_an_attempt_that_does_not_lock_the_contact_row_is_found_out(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer: the transaction itself is the lock")
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 1, profile=1)
    acknowledged = threading.Event()

    def planted() -> bool:
        return attempt(database, 1, locks=False, pause=lambda: acknowledged.wait(5))

    with ThreadPoolExecutor(1) as threads:
        attempting = threads.submit(planted)
        time.sleep(0.1)
        unsubscribe(database, 1)
        seen = attempts_of(database, 1)
        acknowledged.set()
        attempting.result(timeout=20)

    assert seen == 0
    assert attempts_of(database, 1) == 1  # the planted bug: committed after the acknowledgement
