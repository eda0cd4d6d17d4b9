"""Conditions about the person through the whole engine: what wakes whom, who reads what when."""

import dataclasses
from collections.abc import Iterator

import msgspec
import pytest

from engine.asof import Zones, members_at
from engine.consent.unsubscribe import withdraw
from engine.core.clocktime import iso
from engine.core.model.campaigns import SegmentTrigger
from engine.core.model.conditions import Condition, EventCondition, EventMatch, LocalTimeCondition
from engine.core.model.instants import DAY, HOUR
from engine.core.segments import for_program
from engine.membership import asked_now, members_now, sizes
from engine.scores import publish
from engine.sending.sent_events import is_asked_for
from engine.store.connection import Connection
from engine.store.events import EventLog
from tests.core.build import a_campaign, a_program
from tests.engine.publishing import CART, FILES, Published

SEGMENTS = {
    "segments/reachable.yaml": (
        "segment: reachable\nwhen: {consent: {channel: email, topic: offers}}\n"
    ),
    "segments/evening.yaml": (
        'segment: evening\nwhen: {local_time: {from: "18:00", to: "22:00"}}\n'
    ),
    "segments/vip.yaml": "segment: vip\nwhen: {list: vip}\n",
    "segments/mobile.yaml": "segment: mobile\nwhen: {device: {type: mobile}}\n",
    "segments/risky.yaml": ("segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n"),
    "lists/vip.csv": "user_id\nu2\n",
}
ZONES = Zones(("trait", "device", "country", "workspace"), "UTC")


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply({**FILES, **SEGMENTS})
    yield opened
    opened.close()


def inside(stage: Published, name: str) -> list[str]:
    with stage.process.database.read() as connection:
        segments = stage.process.playbook.segments
        return members_now(connection, segments, name, now=stage.now)


def mailed(stage: Published) -> None:
    """u1 puts something into a cart, and is reminded of it."""
    stage.track("u1", "Product Added", cart="c1")
    stage.settle(until=stage.now + 3 * HOUR)
    assert stage.drain().n_sent == 1


def then_inside(stage: Published, name: str, at: int) -> list[str]:
    with stage.process.database.read() as connection:
        segments = stage.process.playbook.segments
        found = members_at(connection, segments, name, at=at, zones=ZONES)
        return [it.then.profile.external_id for it in found]


def test_consent_enters_by_an_event_and_leaves_by_a_link(stage: Published) -> None:
    stage.identify("u1")
    stage.settle()
    before = inside(stage, "reachable")
    mailed(stage)
    ((message,),) = stage.rows("SELECT id FROM message WHERE channel = 'email'")

    stage.process.write(lambda connection: _withdrawn(stage, connection, message))
    left_at = stage.now
    stage.settle()

    assert (before, inside(stage, "reachable")) == (["u1"], [])
    exits = stage.rows("SELECT at FROM event WHERE name = 'Segment Exited'")
    assert exits == [(left_at,)]


def _withdrawn(stage: Published, connection: Connection, message: int) -> None:
    log = EventLog()
    withdraw(connection, message=message, scope="topic", proof="test", log=log, now=stage.now)


def test_the_past_knows_the_consent_the_zone_and_the_score_of_its_time(stage: Published) -> None:
    began = stage.now
    stage.identify("u1", timezone="Asia/Tokyo")
    stage.settle()
    program = stage.process.playbook.program
    publish(
        stage.process.database, {1: (0.9, "")}, model="churn", kind="score", program=program,
        write=stage.process.write, now=stage.now,
    )  # fmt: skip
    stage.now += DAY
    publish(
        stage.process.database, {1: (0.1, "")}, model="churn", kind="score", program=program,
        write=stage.process.write, now=stage.now,
    )  # fmt: skip
    consent = {"email": {"offers": False}}
    stage.send({"type": "identify", "userId": "u1",
                "traits": {"timezone": "UTC"}, "context": {"consent": consent}})  # fmt: skip
    stage.settle()

    names = ("reachable", "risky")
    then = [then_inside(stage, name, began + HOUR) for name in names]
    now = [then_inside(stage, name, stage.now) for name in names]

    # 10:00Z is evening in Tokyo, where u1 lived then; 19:00Z is evening in UTC, where they moved.
    evenings = [
        then_inside(stage, "evening", began + 22 * HOUR),
        then_inside(stage, "evening", stage.now + 22 * HOUR),
        then_inside(stage, "evening", stage.now + 7 * HOUR),
    ]
    assert (then, now) == ([["u1"], ["u1"]], [[], []])
    assert evenings == [["u1"], [], ["u1"]]


def test_an_anonymous_visitor_who_turns_out_to_be_on_the_list_enters_then(
    stage: Published,
) -> None:
    stage.send({"type": "track", "anonymousId": "a1", "event": "Product Viewed"})
    stage.settle()
    before = inside(stage, "vip")

    stage.send({"type": "identify", "anonymousId": "a1", "userId": "u2"})
    stage.settle()

    assert (before, inside(stage, "vip")) == ([], ["u2"])


def test_a_changed_list_is_a_new_release_and_moves_its_people(stage: Published) -> None:
    stage.identify("u1")
    stage.identify("u2")
    stage.settle()
    before = inside(stage, "vip")

    stage.apply({**FILES, **SEGMENTS, "lists/vip.csv": "user_id\nu1\n"})
    stage.settle()

    assert (before, inside(stage, "vip")) == (["u2"], ["u1"])


def test_the_device_comes_from_the_user_agent_of_the_last_event(stage: Published) -> None:
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15"
    context = {"userAgent": phone}
    stage.send({"type": "track", "userId": "u1", "event": "Seen", "context": context})
    stage.send({"type": "track", "userId": "u2", "event": "Seen"})
    stage.settle()

    assert inside(stage, "mobile") == ["u1"]


def test_a_segment_on_the_clock_is_asked_when_it_is_read(stage: Published) -> None:
    for user, zone in (("u1", "Asia/Tokyo"), ("u2", "Europe/Berlin"), ("u3", "UTC")):
        stage.identify(user, timezone=zone)
    stage.settle()
    segments = stage.process.playbook.segments
    stage.now += 5 * HOUR + HOUR // 2  # 17:30Z: half past six in Berlin

    with stage.process.database.read() as connection:
        counted = sizes(connection, ["evening", "reachable"], segments=segments, now=stage.now)
        asked = [asked_now(connection, segments, n, now=stage.now) for n in (1, 2, 99)]

    assert inside(stage, "evening") == ["u2"]
    assert counted == {"evening": 1, "reachable": 3}
    assert asked == [[], ["evening"], []]
    assert stage.rows("SELECT count(*) FROM membership WHERE segment = 'evening'") == [(0,)]
    assert stage.rows("SELECT count(*) FROM timer") == [(0,)]


def test_a_segment_on_the_clock_that_a_campaign_follows_is_played_by_the_clock(
    stage: Published,
) -> None:
    follower = CART.replace("campaign: cart", "campaign: tonight").replace(
        "trigger: {event: Product Added, key: properties.cart}",
        "trigger: {segment: {enter: evening}}",
    )
    stage.apply({**FILES, **SEGMENTS, "campaigns/tonight.yaml": follower})
    stage.identify("u1", timezone="Europe/Berlin")
    stage.settle(until=stage.now + DAY)

    crossings = stage.rows(
        "SELECT name, at FROM event WHERE properties LIKE '%evening%' ORDER BY seq"
    )
    assert [(name, iso(at)) for name, at in crossings] == [
        ("Segment Entered", "2026-03-02T17:00:00Z"),
        ("Segment Exited", "2026-03-02T21:00:00Z"),
    ]


# --- messages ------------------------------------------------------------------------------------


def asking(stage: Published, condition: Condition) -> None:
    """Play by a program with one more segment, and an outbox that can write events."""
    program = stage.process.playbook.program
    program = msgspec.structs.replace(program, segments={**program.segments, "got": condition})
    stage.process.playbook = dataclasses.replace(
        stage.process.playbook, program=program, segments=for_program(program)
    )
    stage.process.outbox._log = stage.process.log


def test_what_is_sent_is_an_event_where_something_asks_for_it(stage: Published) -> None:
    asking(stage, EventCondition(EventMatch("Message Sent")))
    stage.identify("u1")
    stage.settle()

    mailed(stage)
    stage.settle()

    ((profile, name, properties),) = stage.rows(
        "SELECT profile_id, name, properties FROM event WHERE name = 'Message Sent'"
    )
    told = msgspec.json.decode(properties)
    assert (profile, name) == (1, "Message Sent")
    assert (told["campaign"], told["channel"], told["template"]) == ("cart", "email", "soft")
    assert inside(stage, "got") == ["u1"]


def test_what_is_sent_is_no_event_where_nothing_asks_for_it(stage: Published) -> None:
    stage.process.outbox._log = stage.process.log
    stage.identify("u1")
    mailed(stage)

    assert not is_asked_for(stage.process.playbook.program)
    assert stage.rows("SELECT count(*) FROM event WHERE name = 'Message Sent'") == [(0,)]


def test_hours_that_a_trigger_follows_cost_a_timer_and_others_none() -> None:
    segments: dict[str, Condition] = {"evening": LocalTimeCondition(1080, 1320)}

    idle = for_program(a_program(segments=segments))
    busy = for_program(a_program(a_campaign(trigger=SegmentTrigger("evening")), segments=segments))

    assert idle.when_read == {"evening"}
    assert not busy.when_read
