"""Steps and triggers through the real ticker: what they remember survives the process."""

from engine.core.clocktime import iso
from engine.store.database import Database
from tests.engine.shop_stage import Shop

DAILY = """\
campaign: nudge
trigger: {event: Product Added}
topic: offers
journey:
  - repeat:
      times: 3
      every: 1d
      until: {event: Order Completed}
      do:
        - first_possible:
            - send: {channel: sms, template: code}
            - send: {channel: email, template: remind}
    id: daily
"""
CHEERS = """\
campaign: cheers
trigger: {date: {trait: birthday, at: "09:00", offset: -1d, every: year}}
topic: offers
journey:
  - best_time: {within: 6h}
    id: their-hour
  - send: {channel: email, template: remind}
"""


def test_rounds_go_on_after_a_restart_and_end_with_the_event(database: Database) -> None:
    shop = Shop(database, {"campaigns/nudge.yaml": DAILY})
    shop.identify("u1")
    shop.identify("u2", phone="+4915112345678")
    for user in ("u1", "u2"):
        shop.track(user, "Product Added", cart_id="c1")
    shop.settle(until="2026-03-02T20:00Z")

    shop.restart()
    shop.settle(until="2026-03-03T20:00Z")
    shop.restart()
    shop.track("u1", "Order Completed")
    shop.settle(until="2026-03-09T00:00Z")

    rows = shop.rows("SELECT profile_id, channel, at, step FROM message ORDER BY profile_id, at")
    assert [(profile, channel, iso(at)[:13]) for profile, channel, at, _ in rows] == [
        (1, "email", "2026-03-02T12"),
        (1, "email", "2026-03-03T12"),
        (2, "sms", "2026-03-02T12"),
        (2, "sms", "2026-03-03T12"),
        (2, "sms", "2026-03-04T12"),
    ]
    assert {step for *_, step in rows} == {"daily.do.0.send.0", "daily.do.0.send.1"}
    assert [row[0] for row in shop.enrollments()] == ["done", "done"]
    assert shop.rows("SELECT memory FROM enrollment") == [("",), ("",)]


def test_a_birthday_is_armed_in_the_database_and_its_hour_is_drawn_and_logged(
    database: Database,
) -> None:
    shop = Shop(database, {"campaigns/cheers.yaml": CHEERS})
    shop.identify("u1", birthday="1990-05-17", timezone="America/New_York")
    shop.settle()

    ((due,),) = shop.rows("SELECT min(due) FROM timer")
    shop.restart()
    shop.settle(until="2027-06-01T00:00Z")

    assert iso(due) == "2026-05-16T13:00:00Z"
    sent = [iso(at) for (at,) in shop.rows("SELECT at FROM message ORDER BY at")]
    assert [instant[:10] for instant in sent] == ["2026-05-16", "2027-05-16"]
    drawn = shop.own_events("Send Time Explored")
    assert [each["at"] for each in drawn] == sent
    assert [each["probability"] for each in drawn] == [1 / 6, 1 / 6]
