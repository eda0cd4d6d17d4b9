"""From a real store to SQL: what is streamed says of people what the engine knows of them.

A crowd of random people is written into SQLite and PostgreSQL as the engine writes it; then for
random conditions SQL must have inside whom `asof` rebuilds of the past, and of the present whoever
the stream of events would have inside.
"""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from engine.asof import members_at
from engine.consent.unsubscribe import SOURCE
from engine.core.model.conditions import Condition
from engine.core.model.instants import Instant
from engine.segment_sql.lake import open_lake
from engine.segment_sql.plan import Needs
from engine.segment_sql.statement import members_sql
from engine.segment_sql.stream import pour
from engine.store import bulk
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import MERGE, OLD, EventLog
from tests.proof.asking import Found, Streamed, compiled, inside, text
from tests.proof.conditions import GAP_STEPS, HOURS, LAST, conditions, person_conditions
from tests.proof.people import LISTS, Someone, a_crowd

SCALE = HOURS
GAP = GAP_STEPS * SCALE.step
PRESENT = SCALE.at(2 * LAST)
WITHDRAWN_AT = SCALE.at(LAST // 3)


@pytest.fixture
def crowd(database: Database) -> list[Someone]:
    """People in the store, whose events nobody has played yet."""
    people = a_crowd(random.Random(11), SCALE, n_people=25)
    for someone in people:
        someone.events = [
            replace(event, accepted_at=max(event.at, event.accepted_at)) for event in someone.events
        ]
    with database.write() as connection:
        for someone in people:
            _write_person(connection, someone)
        _write_events(connection, people)
        _write_scores(connection, people)
    return people


def test_sql_over_the_store_has_inside_whom_the_engine_has(
    database: Database, crowd: list[Someone]
) -> None:
    past = [SCALE.at(step) for step in (5, 20, 21, 40, 60)]

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conditions(SCALE) | person_conditions(SCALE))
    def law(condition: Condition) -> None:
        segments = {"only": condition}
        engine = compiled(segments, gap=GAP)
        with database.read() as connection:
            found = asked(connection, segments, [*past, PRESENT])
            then = {
                (at, int(member.then.profile.id))
                for at in past for member in members_at(connection, engine, "only", at=at)
            }  # fmt: skip
        now = [Streamed(someone.profile, engine) for someone in crowd]
        for it, someone in zip(now, crowd, strict=True):
            for event in sorted(someone.events, key=lambda event: event.seq):
                it.take(event)

        assert {each for each in found if each[0] < PRESENT} == then
        assert {each for each in found if each[0] == PRESENT} == inside(now, "only", [PRESENT])

    law()


def test_a_row_stands_over_what_was_played_and_under_what_was_not(database: Database) -> None:
    # Of "country" the row knows what no event said; of "plan" an event says more than the row.
    with database.write() as connection:
        first = EventLog().append(
            connection,
            [
                _row(1, "Profile Identified", 10, traits='{"country":"FR","plan":"free"}'),
                _row(1, "Profile Identified", 20, traits='{"plan":"gold"}'),
            ],
            now=30,
        )
        _write_profile(connection, 1, traits='{"country":"DE","plan":"free"}')
        connection.execute("UPDATE partition SET position = ?", (first,))

    with database.read() as connection, open_lake() as lake:
        pour(connection, lake, Needs(traits={"country", "plan"}), instants=[15, 40], present=40)
        ask = (
            "SELECT name, arg_max(value, place) FROM traits WHERE happened <= $now "
            "GROUP BY name ORDER BY name"
        )
        then, now = (lake.select(ask, {"now": at}) for at in (15, 40))

    assert then == [("country", '"FR"'), ("plan", '"free"')]
    assert now == [("country", '"DE"'), ("plan", '"gold"')]


def test_merges_and_merged_people_are_not_streamed(database: Database) -> None:
    with database.write() as connection:
        EventLog().append(
            connection, [_row(1, "Profile Merged", 10, flags=MERGE), _row(1, "A", 11)], now=30
        )
        _write_profile(connection, 1)
        _write_profile(connection, 2, merged_into=1)

    with database.read() as connection, open_lake() as lake:
        pour(connection, lake, Needs(events={"": set()}), instants=[40], present=40)
        names = lake.select("SELECT name FROM events", {})
        ids = lake.select("SELECT profile_id FROM profiles", {})

    assert names == [("A",)]
    assert ids == [(1,)]


def test_only_the_columns_that_are_read_are_streamed(database: Database) -> None:
    with database.write() as connection:
        EventLog().append(connection, [_row(1, "A", 10), _row(1, "B", 11)], now=30)
        _write_profile(connection, 1)

    with database.read() as connection, open_lake() as lake:
        pour(connection, lake, Needs(events={"A": {"context"}}), instants=[40], present=40)
        rows = lake.select("SELECT name, properties, context FROM events", {})

    assert rows == [("A", "{}", '{"c":1}')]


def asked(connection: Connection, segments: dict[str, Condition], instants: list[Instant]) -> Found:
    statement = members_sql("only", segments, session_gap=GAP, lists=LISTS)
    with open_lake(memory="256MB") as lake:
        pour(connection, lake, statement.needs, instants=instants, present=PRESENT)
        return {(now, id) for now, id in lake.select(statement.text, statement.at(instants))}


# --- the store as the engine writes it -----------------------------------------------------------


def _row(
    profile: int, name: str, at: int, *, flags: int = OLD, traits: str | None = None
) -> tuple[object, ...]:
    return (None, profile, name, at, at, flags, '{"p":1}', '{"c":1}', traits)


def _write_profile(connection: Connection, number: int, **changes: object) -> None:
    row = {
        "id": number, "external_id": f"u{number}", "created_at": PRESENT, "zone": "UTC",
        "zone_from": "", "traits": "{}", "sealed": "{}", "addresses": "{}", "consent": "{}",
        **changes,
    }  # fmt: skip
    bulk.insert(connection, "profile", tuple(row), [tuple(row.values())])


def _write_person(connection: Connection, someone: Someone) -> None:
    profile = someone.profile
    address = int(profile.id).to_bytes(16, "big")
    _write_profile(
        connection,
        int(profile.id),
        external_id=profile.external_id,
        zone=profile.zone,
        addresses=text(dict.fromkeys(profile.addresses, address.hex())),
    )
    for channel, contact in profile.addresses.items():
        topics = sorted(contact.withdrawn)
        bulk.insert(
            connection,
            "contact",
            ("address_hash", "channel", "withdrawn", "updated_at"),
            [(address, channel, text(topics), WITHDRAWN_AT)],
        )
        bulk.insert(
            connection,
            "consent_change",
            ("id", "profile_id", "channel", "topic", "granted", "at", "source", "proof"),
            [
                (10 * int(profile.id) + n, int(profile.id), channel, topic, 0, WITHDRAWN_AT,
                 SOURCE, "")
                for n, topic in enumerate(topics)
            ],
        )  # fmt: skip


def _write_events(connection: Connection, people: list[Someone]) -> None:
    """All events in the order of their `seq`, which is the order they are in already."""
    rows = [
        (
            None, int(it.profile.id), e.name, e.at, e.accepted_at, OLD, text(e.properties),
            text(e.context), _changes(e.traits, e.consent),
        )
        for it in people for e in it.events
    ]  # fmt: skip
    EventLog().append(connection, rows, now=PRESENT)


def _changes(traits: dict[str, object], consent: object) -> str | None:
    changes = {**traits, **({"$consent": consent} if consent else {})}
    return text(changes) if changes else None


def _write_scores(connection: Connection, people: list[Someone]) -> None:
    models = sorted({model for it in people for model in it.profile.scores})
    bulk.insert(
        connection,
        "model_run",
        ("model", "run", "kind", "status", "created_at", "cuts"),
        [(model, 1, "score", "champion", SCALE.at(10), "[]") for model in models],
    )
    bulk.insert(
        connection,
        "model_score",
        ("profile_id", "model", "run", "value", "percentile", "label"),
        list(_scores(people)),
    )


def _scores(people: list[Someone]) -> Iterator[tuple[object, ...]]:
    for it in people:
        for model, score in it.profile.scores.items():
            yield (
                int(it.profile.id), model, 1, float(score.value), float(score.percentile),
                score.label,
            )  # fmt: skip
