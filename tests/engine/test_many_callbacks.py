"""P5 by number, the whole way: verified callbacks of every kind, about messages named in every way,
shuffled and tripled, end where the same ones do, sorted and unique.

With ANTIPHON_TEST_SCALE=10 there are 100,000 of them.
"""

import random
from pathlib import Path
from typing import Any

from channels.delivery import DeliveryEvent
from engine.core.model.instants import DAY, SECOND
from engine.hearing.attribution import Speaker
from engine.hearing.hear import Heard, hear
from engine.store import bulk
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.rig.crowd import OFFER, Crowd
from tests.rig.sizes import scaled
from tests.rig.stage import NOON, Stage

N_EVENTS = scaled(10_000)
N_MESSAGES = N_EVENTS // 5
N_PEOPLE = N_EVENTS // 50
CALLBACK = 7
SPEAKER = Speaker("email", "email", "scripted-email")
KINDS: Any = (
    "queued", "sent", "delivered", "deferred", "bounced", "opened", "clicked", "rejected", "failed",
    "complained", "unsubscribed", "subscribed", "unknown",
)  # fmt: skip


def send(connection: Connection, messages: list[int]) -> None:
    """Attempts at them, accepted, as "p<id>"; every fifth in doubt and unnamed."""
    hashes = dict(
        connection.execute(
            "SELECT m.id, c.address_hash FROM message m JOIN profile p ON p.id = m.profile_id "
            "JOIN contact c ON p.addresses LIKE '%' || lower(hex(c.address_hash)) || '%' "
            "WHERE c.channel = 'email'"
        )
    )
    bulk.insert(
        connection,
        "attempt",
        ("message_id", "number", "provider", "started_at", "outcome", "provider_id", "detail",
         "body_digest", "address_hash"),
        [
            (id, 1, SPEAKER.provider, NOON, "ambiguous" if id % 5 == 0 else "accepted",
             "" if id % 5 == 0 else f"p{id}", "", "", hashes[id])
            for id in messages
        ],
    )  # fmt: skip
    connection.execute("UPDATE message SET status = 'sent' WHERE id % 5 <> 0")
    connection.execute("UPDATE message SET status = 'unknown' WHERE id % 5 = 0")


def some_events(messages: list[int], rng: random.Random) -> list[DeliveryEvent]:
    """Instants are few on purpose: ties are where an order could still show."""
    events = []
    for n in range(N_EVENTS):
        id = rng.choice(messages)
        foreign = rng.random() < 0.05
        named = "" if id % 5 == 0 else "another" if foreign else f"p{id}"
        by_name = bool(named) and not foreign and rng.random() < 0.5
        events.append(
            DeliveryEvent(
                # Few complain or bounce, or nobody would be left to rest.
                kind=rng.choice(KINDS) if rng.random() < 0.3 else "bounced",
                message=None if by_name else id,
                provider_id=named,
                event_id=f"e{n}",
                at=NOON + rng.randrange(5) * SECOND - (id % 3) * 20 * DAY,
                bounce_class="soft" if rng.random() < 0.97 else "hard",
                is_machine=rng.random() < 0.1,
            )
        )
    return events


def told(folder: Path, *, is_wild: bool) -> dict[str, list[Row]]:
    """What the database holds after all callbacks, but for the order of arrival."""
    url = f"sqlite:///{folder / f'{is_wild}.db'}"
    database = Database(url)
    upgrade(database)
    database.close()
    stage = Stage(url, now=NOON)
    messages = list(Crowd(stage, n_people=N_PEOPLE).queue(OFFER, N_MESSAGES, at=stage.now))
    stage.process.write(lambda connection: send(connection, messages))
    rng = random.Random(5)
    events = some_events(messages, rng)
    if is_wild:
        events = rng.sample(events * 3, k=3 * len(events))
    else:
        events.sort(key=lambda it: (it.at, it.event_id))
    process = stage.process
    callbacks = [
        Heard(SPEAKER, events[start : start + CALLBACK])
        for start in range(0, len(events), CALLBACK)
    ]
    for start in range(0, len(callbacks), 50):
        process.write(
            lambda connection, group=callbacks[start : start + 50]: hear(
                connection,
                group,
                address_hash=process.vault.address_hash,
                log=process.log,
                now=stage.now,
            )
        )
    found = {
        name: stage.rows(sql)
        for name, sql in {
            "delivery": "SELECT * FROM delivery ORDER BY message_id",
            "contact": "SELECT address_hash, suppressed, suppressed_at, suppressed_until, "
            "suppressed_by, withdrawn FROM contact ORDER BY address_hash",
            "soft": "SELECT * FROM soft_bounce ORDER BY address_hash, message_id, at",
            "messages": "SELECT id, status FROM message ORDER BY id",
            "attempts": "SELECT message_id, outcome, provider_id FROM attempt ORDER BY message_id",
            "seen": "SELECT event_hash FROM delivery_event ORDER BY event_hash",
            "stray": "SELECT event_hash FROM stray_report ORDER BY event_hash",
            "events": "SELECT profile_id, name, count(*) FROM event WHERE name LIKE 'Message%' "
            "GROUP BY profile_id, name ORDER BY profile_id, name",
            "ledger": "SELECT profile_id, topic, granted, count(*) FROM consent_change "
            "WHERE source = 'provider' GROUP BY profile_id, topic, granted ORDER BY profile_id",
        }.items()
    }
    stage.close()
    return found


def test_shuffled_and_tripled_callbacks_end_where_sorted_and_unique_ones_do(
    tmp_path: Path,
) -> None:
    orderly, wild = told(tmp_path, is_wild=False), told(tmp_path, is_wild=True)

    for name, rows in orderly.items():
        assert wild[name] == rows, name
    reasons = {row[1] for row in orderly["contact"]}
    assert reasons >= {"hard bounce", "complaint", "soft bounces"}
    assert {"sent"} <= {row[1] for row in orderly["messages"]}
    assert any(row[5] == '["*"]' for row in orderly["contact"])
    assert orderly["stray"]
    assert orderly["ledger"]
