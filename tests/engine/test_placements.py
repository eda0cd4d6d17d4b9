"""Web messages are kept for their visitors and shown to nobody else. On both databases."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from channels import open_provider
from channels.base import Accepted, OutMessage
from channels.delivery import DeliveryEvent
from engine.consent.unsubscribe import withdraw
from engine.core.model.gates import Placement
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND
from engine.failpoints import Crash, install
from engine.hearing.hear import note
from engine.sending.placing import place
from engine.store.database import Database
from engine.store.queue import Outcome
from engine.store.suppressions import Suppression, suppress
from engine.suppression_file import address_key
from tests.engine.visiting import Visits


@pytest.fixture
def visits(database: Database) -> Visits:
    made = Visits(database)
    made.identify("u1")
    return made


def told(visits: Visits, kind: Any, message: int, **more: Any) -> None:
    event_id = f"{kind}:{message}"
    report = DeliveryEvent(kind=kind, message=message, event_id=event_id, at=visits.now, **more)
    with visits.database.write() as connection:
        note(connection, [report], log=visits.log, now=visits.now)


def said_no(visits: Visits, message: int, scope: Any = "topic") -> Any:
    with visits.database.write() as connection:
        return withdraw(
            connection, message=message, scope=scope, log=visits.log, now=visits.now, proof="test"
        )


# --- what is kept -------------------------------------------------------------------------------


def test_a_web_message_is_rendered_once_and_shown_to_its_visitor(visits: Visits) -> None:
    visits.show("u1")

    (it,) = visits.seen("u1")

    assert it.html.startswith('<p>Hi Ada, <a href="https://shop.example/t/c/')
    assert (it.kept.placement, it.kept.kind, it.kept.priority) == ("top", "banner", 70)
    assert it.kept.expires_at == visits.now + 30 * DAY
    assert visits.messages("web") == [("sent", "")]
    assert visits.seen("u2") == []


def test_what_is_kept_is_sealed_under_the_visitors_own_key(visits: Visits) -> None:
    visits.show("u1")

    ((body,),) = visits.rows("SELECT body FROM placement")

    assert body.startswith("sealed:1:")
    assert "Ada" not in body


def test_the_page_is_kept_in_the_transaction_that_says_sent(visits: Visits) -> None:
    """Dead before it: queued again, since the store holds the key. Dead after it: both there."""
    visits.send({"type": "track", "userId": "u1", "event": "Product Added",
                 "properties": {"cart_id": "c1"}})  # fmt: skip
    visits.settle()

    for name in ("reply unread", "outcome commit"):

        def die(at: str, name: str = name) -> None:
            if at == name:
                raise Crash

        install(die)
        try:
            with pytest.raises(Crash):
                visits.drain("web")
        finally:
            install(None)
        kept = visits.rows("SELECT count(*) FROM placement") == [(1,)]
        assert kept == (visits.messages("web") == [("sent", "")])
        visits.now += 2 * MINUTE
    visits.drain("web")

    assert visits.slots("u1") == ["top"]
    assert visits.messages("web") == [("sent", "")]


def test_a_page_that_the_provider_refuses_is_not_kept(database: Database) -> None:
    visits = Visits(database, **{"templates/web/promo.html": "<p>{{ event.note }}</p>" * 3})
    visits.identify("u1")

    visits.show("u1", note="x" * 25_000)

    assert visits.seen("u1") == []
    ((status, reason),) = visits.messages("web")
    assert (status, reason.split(": ")[0]) == ("failed", "web.placement refused it (too_long)")


def test_rows_whose_time_is_over_are_cleared_when_others_are_kept(visits: Visits) -> None:
    visits.show("u1", "Order Completed")
    visits.now += 3 * HOUR

    visits.show("u1")

    assert visits.rows("SELECT placement FROM placement") == [("top",)]


# --- what is shown ------------------------------------------------------------------------------


def test_the_more_important_message_comes_first_whichever_is_newer(visits: Visits) -> None:
    for event in ("Product Added", "Order Completed", "Page Viewed"):
        visits.show("u1", event)

    assert visits.slots("u1") == ["top", "modal", "in-page"]


def test_a_message_is_shown_until_it_expires_and_not_at_that_instant(visits: Visits) -> None:
    visits.show("u1", "Order Completed")

    before, after = (visits.slots("u1", now=visits.now + it) for it in (2 * HOUR - 1, 2 * HOUR))

    assert (before, after) == (["in-page"], [])


def test_a_newer_message_of_the_campaign_takes_the_place_of_the_older(visits: Visits) -> None:
    visits.show("u1")
    visits.now += MINUTE
    visits.show("u1")

    assert [it.kept.message for it in visits.seen("u1")] == [2]


def test_a_dismissed_message_does_not_bring_back_the_one_before_it(visits: Visits) -> None:
    visits.show("u1")
    visits.show("u1")

    told(visits, "dismissed", 2)

    assert visits.seen("u1") == []


@pytest.mark.parametrize(
    ("event", "stays"),
    [
        ("Order Completed", {"displayed", "clicked"}),  # in the page
        ("Product Added", {"displayed"}),  # banner
        ("Page Viewed", set()),  # modal
    ],
)
@pytest.mark.parametrize("did", ["displayed", "clicked", "dismissed"])
def test_what_visitors_do_ends_a_message_by_its_kind(
    visits: Visits, event: str, stays: set[str], did: str
) -> None:
    visits.show("u1", event)

    told(visits, did, 1)

    assert (visits.seen("u1") != []) == (did in stays)


def test_a_click_by_a_machine_ends_nothing(visits: Visits) -> None:
    visits.show("u1")

    told(visits, "clicked", 1, is_machine=True)

    assert visits.slots("u1") == ["top"]


# --- who may be shown it ------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["topic", "all"])
def test_a_no_holds_from_its_acknowledgement_and_for_what_comes_later(
    visits: Visits, scope: Any
) -> None:
    visits.show("u1")
    visits.show("u1", "Page Viewed")

    done, again = said_no(visits, 1, scope), said_no(visits, 1, scope)

    assert (done.is_repeated, again.is_repeated) == (False, True)
    assert visits.slots("u1") == ["modal"], "transactional, which no topic withdraws"
    visits.settle()
    visits.show("u1")
    assert visits.messages("web")[-1][0] == "dropped"
    assert visits.messages("web")[-1][1].startswith("no consent for offers by web")
    assert visits.slots("u1") == ["modal"]


def test_who_agrees_again_is_shown_what_comes_and_may_say_no_again(visits: Visits) -> None:
    visits.show("u1")
    said_no(visits, 1)
    visits.settle()
    visits.now += SECOND
    visits.identify("u1")
    visits.settle()
    visits.show("u1")
    shown = visits.slots("u1")

    visits.now += SECOND
    done = said_no(visits, 1)

    assert shown == ["top"]
    assert not done.is_repeated
    assert visits.seen("u1") == []


def test_consent_that_the_api_takes_back_hides_what_is_kept(visits: Visits) -> None:
    visits.show("u1")

    visits.send({"type": "identify", "userId": "u1", "traits": {},
                 "context": {"consent": {"web": {"offers": False}}}})  # fmt: skip

    assert visits.seen("u1") == [], "before it is played"
    visits.settle()
    assert visits.seen("u1") == []


def test_an_erased_person_is_shown_nothing(visits: Visits) -> None:
    visits.show("u1")

    with visits.database.write() as connection:
        connection.execute("UPDATE profile SET erased_at = 1, data_key = NULL")

    assert visits.seen("u1") == []


def test_a_page_whose_key_is_gone_is_gone_even_if_only_the_key_is(visits: Visits) -> None:
    visits.show("u1")

    with visits.database.write() as connection:
        connection.execute("UPDATE profile SET data_key = NULL")

    assert visits.seen("u1") == []


def test_nothing_is_kept_for_who_was_erased_while_it_was_under_way(visits: Visits) -> None:
    class Slow:
        def __init__(self, provider: Any) -> None:
            self._provider = provider
            self.name, self.channel = provider.name, provider.channel
            self.capabilities = provider.capabilities

        async def deliver(self, message: OutMessage) -> Any:
            with visits.database.write() as connection:
                connection.execute("UPDATE profile SET erased_at = 1, data_key = NULL")
            return await self._provider.deliver(message)

    visits.send({"type": "track", "userId": "u1", "event": "Product Added",
                 "properties": {"cart_id": "c1"}})  # fmt: skip
    visits.settle()
    visits.drain_with(Slow(a_provider(visits)))

    assert visits.rows("SELECT count(*) FROM placement") == [(0,)]


def test_a_suppressed_user_id_is_shown_nothing_of_any_topic(visits: Visits) -> None:
    visits.show("u1")
    visits.show("u1", "Page Viewed")
    key = address_key(visits.vault, "web", "u1")

    with visits.database.write() as connection:
        row = Suppression(key, "web", "by letter", "operator", visits.now)
        suppress(connection, [row], now=visits.now)

    assert visits.seen("u1") == []


# --- people who turn out to be one --------------------------------------------------------------


def test_after_a_merge_the_winners_visitor_sees_what_was_kept_for_either(
    database: Database,
) -> None:
    visits = Visits(database)
    visits.visitor("device", "Ada")
    visits.show("device", kind="anonymous")
    visits.now += SECOND
    visits.identify("u1")
    visits.show("u1", "Order Completed")
    assert (visits.slots("device", kind="anonymous"), visits.slots("u1")) == (["top"], ["in-page"])

    visits.send({"type": "identify", "userId": "u1", "anonymousId": "device", "traits": {}})
    visits.settle()

    assert visits.slots("u1") == visits.slots("device", kind="anonymous") == ["top", "in-page"]
    assert visits.seen("u1")[0].html.startswith("<p>Hi Ada")


def test_a_page_kept_while_its_profile_is_merged_goes_to_the_winner(database: Database) -> None:
    visits = Visits(database)
    visits.identify("u1")
    visits.now += SECOND
    visits.visitor("device")
    visits.send({"type": "track", "anonymousId": "device", "event": "Product Added",
                 "properties": {"cart_id": "c1"}})  # fmt: skip
    visits.settle()

    class Meanwhile:
        def __init__(self, provider: Any) -> None:
            self._provider = provider
            self.name, self.channel = provider.name, provider.channel
            self.capabilities = provider.capabilities

        async def deliver(self, message: OutMessage) -> Any:
            visits.send({"type": "identify", "userId": "u1", "anonymousId": "device",
                         "traits": {}})  # fmt: skip
            visits.settle()
            return await self._provider.deliver(message)

    visits.drain_with(Meanwhile(a_provider(visits)))

    assert visits.slots("u1") == ["top"]


def test_a_page_and_a_merge_at_the_same_time_end_with_the_winner(database: Database) -> None:
    """The merge waits for whoever keeps a page for the loser, and then takes it along."""
    visits = Visits(database)
    visits.identify("u1")
    visits.now += SECOND
    visits.visitor("device")
    visits.send({"type": "track", "anonymousId": "device", "event": "Product Added",
                 "properties": {"cart_id": "c1"}})  # fmt: skip
    visits.settle()
    ((message,),) = visits.rows("SELECT id FROM message")
    visits.send({"type": "identify", "userId": "u1", "anonymousId": "device", "traits": {}})
    page = Placement("top", "banner", 70, "<p>Hello</p>", visits.now + HOUR)
    outcome = Outcome(message, 1, "accepted", "sent", "", 0, visits.now, placement=page)
    is_kept = threading.Event()

    def keep() -> None:
        with database.write() as connection:
            place(connection, [outcome], vault=visits.vault, now=visits.now)
            is_kept.set()
            time.sleep(0.5)

    with ThreadPoolExecutor(1) as thread:
        keeping = thread.submit(keep)
        assert is_kept.wait(5)
        visits.settle()
        keeping.result()

    assert visits.rows("SELECT merged_into FROM profile ORDER BY id") == [(None,), (1,)]
    assert visits.rows("SELECT profile_id FROM placement") == [(1,)]
    assert visits.slots("u1") == ["top"]


def a_provider(visits: Visits) -> Any:
    return open_provider(
        "web", "placement", {}, directory=Path("."), rng=random.Random(1), now=lambda: visits.now
    )


def test_another_provider_of_the_channel_keeps_nothing(visits: Visits) -> None:
    class Other:
        name, channel = "web.other", "web"
        capabilities = a_provider(visits).capabilities

        async def deliver(self, message: OutMessage) -> Any:
            return Accepted("x")

    visits.send({"type": "track", "userId": "u1", "event": "Product Added",
                 "properties": {"cart_id": "c1"}})  # fmt: skip
    visits.settle()
    visits.drain_with(Other())

    assert visits.messages("web") == [("sent", "")]
    assert visits.seen("u1") == []
