"""Erasing a person: nothing of them is left to find, nothing reaches them, nobody comes back."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import LargeBinary, Text, inspect

from engine import failpoints
from engine.core.model.instants import DAY
from engine.erasing import Erased, erase, erase_payload
from engine.scores import publish
from engine.store import models
from engine.store.models import About
from engine.store.suppressions import listed
from tests.engine.commanding import Antiphon, events_file
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop
from tests.engine.publishing import FILES, Published

_ = _no_database
SECRET = "z4711"
"""The id of the one who goes; it stands in events, carts and addresses."""


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(
        {
            **FILES,
            "segments/seen.yaml": "segment: seen\nwhen: {event: Product Viewed, ever: true}\n",
        }
    )
    for user in (SECRET, "u2"):
        opened.identify(user, plan=f"plan of {user}")
        opened.track(user, "Product Viewed", by=user)
        opened.track(user, "Product Added", cart=f"cart of {user}")
    opened.settle()
    yield opened
    opened.close()


def number_of(stage: Published, user: str) -> int:
    ((found,),) = stage.rows("SELECT profile_id FROM identity WHERE value = ?", user)
    return int(found)


def erased(stage: Published, user: str = SECRET) -> Erased:
    number = number_of(stage, user)
    done: Erased = stage.process.write(lambda it: erase(it, number, now=stage.now))
    return done


def places(stage: Published, word: str) -> list[str]:
    """Every table and column in which a word stands, in texts and in bytes."""
    database = stage.process.database
    found = []
    with database.engine.connect() as raw:
        looked = inspect(raw)
        columns = [
            (table, column["name"], column["type"])
            for table in looked.get_table_names()
            for column in looked.get_columns(table)
        ]
    with database.read() as connection:
        for table, name, kind in columns:
            if not isinstance(kind, Text | LargeBinary):
                continue
            for (value,) in connection.execute(f'SELECT "{name}" FROM "{table}"'):
                text = value if isinstance(value, str) else bytes(value or b"").decode("latin-1")
                if word in text:
                    found.append(f"{table}.{name}")
    return sorted(set(found))


def test_a_search_of_the_whole_database_for_the_id_finds_nothing(stage: Published) -> None:
    before = places(stage, SECRET)

    erased(stage)

    assert {"identity.value", "profile.external_id", "event_1.properties"} <= set(before)
    assert places(stage, SECRET) == []
    assert "identity.value" in places(stage, "u2")


def test_what_was_sealed_cannot_be_opened_and_the_address_stays_suppressed(
    stage: Published,
) -> None:
    number = number_of(stage, SECRET)

    done = erased(stage)

    assert stage.rows("SELECT data_key FROM profile WHERE id = ?", number) == [(None,)]
    assert done.n_addresses == 2
    key = stage.process.vault.address_hash("email", f"{SECRET}@example.com").hex()
    with stage.process.database.read() as connection:
        found = listed(connection, limit=10, channel="email")
    assert [(it.address_hash, it.why, it.until) for it in found] == [(key, "erased", None)]


def test_nothing_is_sent_or_played_for_who_was_erased(stage: Published) -> None:
    number = number_of(stage, SECRET)

    erased(stage)
    stage.settle(until=stage.now + 2 * DAY)
    stage.drain()

    # The other one stood at the same step, and gets the reminder.
    assert stage.rows("SELECT DISTINCT profile_id FROM message") == [(number_of(stage, "u2"),)]
    assert stage.rows("SELECT count(*) FROM profile_state WHERE profile_id = ?", number) == [(0,)]
    assert stage.rows("SELECT status, reason FROM enrollment WHERE profile_id = ?", number) == [
        ("dropped", "erased")
    ]


def test_a_message_that_waits_is_dropped_with_its_reason(stage: Published) -> None:
    stage.settle(until=stage.now + DAY)
    number = number_of(stage, SECRET)
    waiting = stage.rows("SELECT status FROM message WHERE profile_id = ?", number)

    done = erased(stage)
    stage.drain()

    assert waiting == [("queued",)]
    assert done.n_dropped == 1
    assert stage.rows(
        "SELECT status, reason, context FROM message WHERE profile_id = ?", number
    ) == [("dropped", "erased", "{}")]


def test_no_attempt_begins_once_the_erasure_is_acknowledged(stage: Published) -> None:
    stage.settle(until=stage.now + DAY)
    number = number_of(stage, SECRET)
    done: list[Erased] = []

    def at_the_point(name: str) -> None:
        if name == "outbox claim" and not done:  # claimed, and not yet at the last gate
            done.append(erased(stage))

    failpoints.install(at_the_point)
    try:
        stage.drain()
    finally:
        failpoints.install(None)

    assert len(done) == 1
    attempts = stage.rows(
        "SELECT count(*) FROM attempt a JOIN message m ON m.id = a.message_id "
        "WHERE m.profile_id = ?", number,
    )  # fmt: skip
    assert attempts == [(0,)]
    assert [call.to for call in stage.email.calls] == ["u2@example.com"]


def test_a_crash_before_the_commit_erases_nothing_and_the_next_try_all(stage: Published) -> None:
    before = places(stage, SECRET)

    def crash(name: str) -> None:
        if name == "erase commit":
            raise failpoints.Crash

    failpoints.install(crash)
    try:
        with pytest.raises(failpoints.Crash):
            erased(stage)
    finally:
        failpoints.install(None)

    assert places(stage, SECRET) == before
    erased(stage)
    assert places(stage, SECRET) == []


def test_events_that_came_before_and_were_not_played_yet_change_nothing(stage: Published) -> None:
    number = number_of(stage, SECRET)
    stage.track(SECRET, "Product Added", cart="late cart")
    stage.identify(SECRET, plan="gold")

    erased(stage)
    stage.settle()

    assert stage.rows("SELECT traits, sealed FROM profile WHERE id = ?", number) == [("{}", "{}")]
    assert places(stage, "late cart") == []


def test_a_batch_read_before_the_erasure_is_played_again_without_them(stage: Published) -> None:
    number = number_of(stage, SECRET)
    stage.identify(SECRET, plan="gold")
    stage.track("u2", "Product Viewed")
    ticker = stage.process.ticker
    whole = ticker._commit
    done: list[Erased] = []

    def commit(*given: Any, **more: Any) -> None:
        if not done:
            done.append(erased(stage))
        whole(*given, **more)

    ticker._commit = commit  # type: ignore[method-assign]
    first = stage.tick()
    stage.settle()

    assert first.is_refused
    assert stage.rows("SELECT traits FROM profile WHERE id = ?", number) == [("{}",)]
    assert places(stage, "gold") == []


def test_the_same_id_coming_again_is_somebody_new(stage: Published) -> None:
    number = number_of(stage, SECRET)
    erased(stage)

    stage.track(SECRET, "Product Viewed")
    stage.settle()

    assert number_of(stage, SECRET) != number
    assert len(stage.rows("SELECT * FROM membership WHERE segment = 'seen'")) == 2


def test_a_repeated_delivery_of_an_old_event_brings_nobody_back(stage: Published) -> None:
    event = {
        "type": "track", "userId": SECRET, "messageId": "once", "event": "Product Viewed",
        "properties": {"by": SECRET},
    }  # fmt: skip
    stage.send(event)
    stage.settle()
    erased(stage)

    stage.send(event)
    stage.settle()

    assert stage.rows("SELECT count(*) FROM identity WHERE value = ?", SECRET) in ([(0,)], [(1,)])
    assert "event_1.properties" not in places(stage, SECRET)


def test_who_was_merged_into_them_is_erased_with_them(stage: Published) -> None:
    stage.send({
        "type": "track", "anonymousId": "visitor-z4711", "messageId": "v1",
        "event": "Product Viewed", "properties": {"page": "z4711 page"},
    })  # fmt: skip
    stage.settle()
    stage.send({
        "type": "identify", "anonymousId": "visitor-z4711", "userId": SECRET, "messageId": "v2",
    })  # fmt: skip
    stage.settle()

    done = erased(stage)

    assert places(stage, SECRET) == []
    assert len(done.profiles) == 2


def test_models_forget_them_at_once_and_are_due_again_in_thirty_days(stage: Published) -> None:
    process = stage.process
    number = number_of(stage, SECRET)
    run = process.write(
        lambda it: models.begin(it, "churn", About("score", stage.now), now=stage.now)
    )
    process.write(lambda it: models.keep_part(it, "churn", run, 0, b"weights"))
    publish(
        process.database, {number: (0.4, ""), number_of(stage, "u2"): (0.6, "")}, model="churn",
        kind="score", program=None, write=process.write, now=stage.now, run=run,
    )  # fmt: skip

    done = erased(stage)

    assert stage.rows("SELECT profile_id FROM model_score") == [(number_of(stage, "u2"),)]
    assert (done.models, done.retrain_by) == (["churn"], stage.now + 30 * DAY)
    assert stage.rows("SELECT retrain_by FROM model_run") == [(stage.now + 30 * DAY,)]


def test_a_second_time_changes_nothing(stage: Published) -> None:
    number = number_of(stage, SECRET)
    erased(stage)
    when = stage.rows("SELECT erased_at FROM profile WHERE id = ?", number)
    stage.now += DAY

    again = stage.process.write(lambda it: erase(it, number, now=stage.now))

    assert (again.n_ids, again.n_addresses) == (0, 0)
    assert stage.rows("SELECT erased_at FROM profile WHERE id = ?", number) == when


def test_nobody_of_that_id_is_said(stage: Published) -> None:
    from engine.core.errors import UsageError

    with (
        stage.process.database.read() as connection,
        pytest.raises(UsageError, match=r'no profile with the id "nobody"; nothing was erased'),
    ):
        erase_payload(connection, {"id": "nobody"}, now=stage.now)


def test_the_command_asks_before_and_says_what_is_left(live: Any, antiphon: Antiphon) -> None:
    assert antiphon("ingest", live, events_file(live)).code == 0
    (live / "lists").mkdir(exist_ok=True)
    (live / "lists" / "vip.csv").write_text("user_id\nu1\n")
    assert antiphon("apply", live).code == 0

    asked = antiphon("profile", "erase", "u1", live)
    done = antiphon("profile", "erase", "u1", live, "--yes", "--json")
    again = antiphon("profile", "erase", "u1", live, "--yes")

    assert (asked.code, "nothing was erased" in asked.out) == (1, True)
    assert done.json()["files"] == ["lists/vip.csv"]
    assert done.json()["n_ids"] == 1
    assert (again.code, 'no profile with the id "u1"' in again.error) == (2, True)
