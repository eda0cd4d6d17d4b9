"""Ingest on both databases: what is accepted, kept once, and lost never."""

import json
from typing import Any

import pytest

from engine import failpoints
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, HOUR
from engine.intake.declared import ALWAYS_PII, Declared, Field
from engine.store.database import Database
from engine.store.events import EventLog
from tests.engine.ingesting import NOW, Intake, a_track, an_identify, some_terms


def test_an_accepted_event_is_kept_as_it_was_sent(database: Database) -> None:
    intake = Intake(database)

    (answer,) = intake.take(a_track(context={"page": {"path": "/p/1"}}))

    assert answer.status == "accepted"
    ((name, at, accepted_at, flags, properties, context, traits),) = intake.rows(
        "SELECT name, at, accepted_at, flags, properties, context, traits FROM event"
    )
    assert (name, at) == ("Product Viewed", parse_instant("2026-03-02T08:59:00Z"))
    assert (accepted_at, flags, traits) == (NOW, 0, None)
    assert json.loads(properties) == {"price": 12.5}
    assert json.loads(context) == {"page": {"path": "/p/1"}}


def test_the_same_message_has_one_effect_in_a_batch_and_after_it(database: Database) -> None:
    intake = Intake(database)

    first = intake.take(a_track(), a_track(properties={"price": 99}), a_track(messageId="m-2"))
    later = intake.take(a_track(messageId="m-2"), a_track(messageId="m-3"), now=NOW + DAY)

    assert [it.status for it in first] == ["accepted", "duplicate", "accepted"]
    assert [it.status for it in later] == ["duplicate", "accepted"]
    prices = intake.rows("SELECT properties FROM event ORDER BY seq")
    assert json.loads(prices[0][0]) == {"price": 12.5}
    assert len(prices) == 3


def test_another_source_may_use_the_same_message_id(database: Database) -> None:
    intake = Intake(database)

    intake.take(a_track())
    (answer,) = intake.take(a_track(), terms=some_terms(source="another key"))

    assert answer.status == "accepted"


def test_a_message_without_id_is_always_new(database: Database) -> None:
    intake = Intake(database)
    terms = some_terms()

    answers = [intake.take(a_track(messageId=None), terms=terms)[0] for _ in range(3)]

    assert [it.status for it in answers] == ["accepted"] * 3


def test_duplicates_are_found_in_older_parts_within_the_window(database: Database) -> None:
    intake = Intake(database, events_per_part=3)
    intake.take(*[a_track(messageId=f"m-{i}") for i in range(8)])

    again = intake.take(*[a_track(messageId=f"m-{i}") for i in range(9)], now=NOW + 6 * DAY)

    assert [it.status for it in again] == ["duplicate"] * 8 + ["accepted"]
    assert intake.rows("SELECT count(*) FROM event") == [(9,)]


def test_a_part_older_than_the_window_is_not_asked_any_more(database: Database) -> None:
    intake = Intake(database, events_per_part=3)
    intake.take(*[a_track(messageId=f"m-{i}") for i in range(4)])
    intake.take(*[a_track(messageId=f"n-{i}") for i in range(3)])

    (answer,) = intake.take(a_track(messageId="m-0"), now=NOW + 8 * DAY)

    assert answer.status == "accepted"


def test_the_log_rolls_into_new_parts_and_reads_as_one(database: Database) -> None:
    intake = Intake(database, events_per_part=3)

    intake.take(*[a_track(messageId=f"m-{i}", event=f"E{i}") for i in range(10)])

    assert [name for _, name in intake.events()] == [f"E{i}" for i in range(10)]
    assert intake.rows("SELECT count(*) FROM event_1") == [(3,)]
    assert intake.rows("SELECT count(*) FROM event_4") == [(1,)]
    log = EventLog(events_per_part=3)
    with database.read() as connection:
        assert [row[0] for row in log.read_after(connection, 2, limit=5)] == [3, 4, 5, 6, 7]
        assert [row[0] for row in log.read_after(connection, 9, limit=5)] == [10]
        assert log.read_after(connection, 10, limit=5) == []


@pytest.mark.parametrize("place", ["event insert", "part roll"])
def test_a_crash_before_the_commit_leaves_nothing_and_the_retry_is_whole(
    database: Database, place: str
) -> None:
    intake = Intake(database, events_per_part=3)
    intake.take(a_track(messageId="before"))
    batch = [a_track(messageId=f"m-{i}", userId=f"u{i}") for i in range(5)]

    def crash(name: str) -> None:
        if name == place:
            raise failpoints.Crash

    failpoints.install(crash)
    try:
        with pytest.raises(failpoints.Crash):
            intake.take(*batch)
    finally:
        failpoints.install(None)
    after_crash = intake.rows("SELECT count(*) FROM event")[0][0], intake.profile_of("user", "u0")
    answers = intake.take(*batch)

    assert after_crash == (1, None)
    assert [it.status for it in answers] == ["accepted"] * 5
    assert intake.rows("SELECT count(*), max(seq) FROM event") == [(6, 6)]
    assert intake.rows("SELECT count(*) FROM profile") == [(6,)]


def test_another_process_takes_over_without_a_gap(database: Database) -> None:
    Intake(database).take(a_track(anonymousId="a-1"))

    restarted = Intake(database)
    answers = restarted.take(a_track(), a_track(messageId="m-2", userId=None, anonymousId="a-1"))

    assert [it.status for it in answers] == ["duplicate", "accepted"]
    assert restarted.events() == [(1, "Product Viewed"), (1, "Product Viewed")]


def test_personal_values_are_sealed_and_found_by_their_mark(database: Database) -> None:
    intake = Intake(database)

    intake.take(an_identify(traits={"email": "Ann@Example.com", "plan": "gold"}))

    (traits,) = intake.traits()
    assert traits["plan"] == "gold"
    assert traits["email"]["$blind"] == intake.vault.mark("email", "email", "ann@example.com")
    ((profile_id, wrapped),) = intake.rows("SELECT id, data_key FROM profile")
    key = intake.vault.unwrap(profile_id, wrapped)
    opened = intake.vault.open_value(key, traits["email"]["$sealed"], name="email")
    assert opened == "Ann@Example.com"
    everything = str(intake.rows("SELECT * FROM event")) + str(intake.rows("SELECT * FROM profile"))
    assert "xample" not in everything


def test_declared_personal_properties_are_sealed_too(database: Database) -> None:
    intake = Intake(database)
    declared = Declared(
        traits=ALWAYS_PII, events={"Signed": {"name": Field("string", is_pii=True)}}
    )
    terms = some_terms(declared=declared)

    intake.take(a_track(event="Signed", properties={"name": "Ann Smith", "n": 1}), terms=terms)

    ((properties,),) = intake.rows("SELECT properties FROM event")
    assert "Ann Smith" not in properties
    assert json.loads(properties)["n"] == 1
    assert json.loads(properties)["name"]["$sealed"].startswith("sealed:1:")


def test_an_erased_person_gets_no_new_personal_values(database: Database) -> None:
    intake = Intake(database)
    intake.take(a_track())
    with database.write() as connection:
        connection.execute("UPDATE profile SET data_key = NULL")

    (answer,) = intake.take(an_identify(messageId="m-2", traits={"email": "a@b.de", "plan": "x"}))

    assert (answer.status, answer.ignored) == ("accepted", ["traits.email"])
    assert intake.traits()[-1] == {"plan": "x"}


def test_consent_reaches_the_event_and_the_ledger(database: Database) -> None:
    intake = Intake(database)

    intake.take(an_identify(traits={"consent": {"email": {"offers": True, "news": False}}}))

    assert intake.traits() == [{"$consent": {"email": {"offers": True, "news": False}}}]
    assert intake.rows(
        "SELECT profile_id, channel, topic, granted, source, proof FROM consent_change ORDER BY id"
    ) == [
        (1, "email", "offers", 1, "identify", "messageId m-1"),
        (1, "email", "news", 0, "identify", "messageId m-1"),
    ]


def test_a_browser_key_appends_behaviour_only(database: Database) -> None:
    intake = Intake(database)
    terms = some_terms(key="browser")

    (answer,) = intake.take(
        an_identify(
            traits={"email": "a@b.de", "plan": "x", "consent": {"email": {"offers": True}}},
            context={"consent": {"email": {"offers": True}}},
        ),
        terms=terms,
    )

    assert answer.status == "accepted"
    assert sorted(answer.ignored) == ["context.consent", "traits.consent", "traits.email"]
    assert intake.traits() == [{"plan": "x"}]
    assert intake.rows("SELECT count(*) FROM consent_change") == [(0,)]


@pytest.mark.parametrize(
    ("age", "live", "flags"),
    [(HOUR, False, 0), (25 * HOUR, False, 1), (25 * HOUR, True, 0)],
)
def test_old_news_is_flagged_unless_it_is_live(
    database: Database, age: int, live: bool, flags: int
) -> None:
    intake = Intake(database)
    terms = some_terms(trigger_age_max=None if live else DAY)

    intake.take(a_track(), terms=terms, now=parse_instant("2026-03-02T08:59:00Z") + age)

    assert intake.rows("SELECT flags FROM event") == [(flags,)]


def test_a_replay_may_take_the_events_time_as_the_time_of_acceptance(database: Database) -> None:
    intake = Intake(database)

    intake.take(a_track(), terms=some_terms(accepted_at="event"), now=NOW + 300 * DAY)

    at = parse_instant("2026-03-02T08:59:00Z")
    assert intake.rows("SELECT at, accepted_at, flags FROM event") == [(at, at, 0)]
    assert intake.rows("SELECT created_at FROM profile") == [(at,)]


CALLS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"type": "page", "name": "Home", "category": "Docs", "properties": {"a": 1}},
     "Page Viewed", {"a": 1, "name": "Home", "category": "Docs"}),
    ({"type": "screen", "name": "Cart"}, "Screen Viewed", {"name": "Cart"}),
    ({"type": "group", "groupId": "g1", "traits": {"plan": "b2b"}},
     "Group Joined", {"groupId": "g1", "traits": {"plan": "b2b"}}),
    ({"type": "alias", "previousId": "old"}, "Profile Aliased", {"previousId": "old"}),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name", "properties"), CALLS)
def test_every_kind_of_call_becomes_an_event(
    database: Database, call: dict[str, Any], name: str, properties: dict[str, Any]
) -> None:
    intake = Intake(database)

    intake.take({"messageId": "m", "userId": "ann", **call})

    ((found, text),) = intake.rows("SELECT name, properties FROM event")
    assert (found, json.loads(text)) == (name, properties)
