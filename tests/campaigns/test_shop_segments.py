"""The example shop's segments, asked at the instants that matter."""

from pathlib import Path
from typing import Any

import pytest

import campaigns
from campaigns.compile import compile_workspace
from campaigns.load import load_workspace
from channels.content.templates import compile_template, template_names
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant, ProfileId
from engine.core.model.people import Event, Profile
from engine.core.segments import Segments, for_program

SHOP = Path(campaigns.__file__).parent / "examples" / "shop"
NOON = parse_instant("2026-03-02T17:00Z")
"""Noon in New York, where the shop is."""


@pytest.fixture(scope="module")
def segments() -> Segments:
    workspace = load_workspace(SHOP, environ={})
    templates = {
        key: compile_template(*key, workspace.files).facts()
        for key in template_names(workspace.files)
    }
    program = compile_workspace(
        workspace, release=1, phases={}, templates=templates, blind=lambda *_: "blind:0"
    )
    return for_program(program)


class Shopper:
    """Someone whose events are folded as they come, asked at any later instant."""

    def __init__(self, segments: Segments, **traits: Any) -> None:
        self.segments = segments
        self.features: dict[str, Any] = {}
        self.profile = Profile(ProfileId(1), "America/New_York", traits=traits)
        self.seq = 0

    def does(self, name: str, at: Instant, *, device: str = "mobile", **properties: Any) -> None:
        self.seq += 1
        context = {"device": {"type": device}}
        self.segments.observe(self.features, Event(self.seq, name, at, at, properties, context))

    def is_in(self, segment: str, at: Instant) -> bool:
        return self.segments.evaluate(segment, self.features, self.profile, now=at)[0]

    def until(self, segment: str, at: Instant) -> Instant:
        return self.segments.evaluate(segment, self.features, self.profile, now=at)[1]


def a_mobile_shopper(segments: Segments, *, device: str = "mobile") -> Shopper:
    """Looked twice, stayed three minutes, put something into the cart at the end."""
    shopper = Shopper(segments)
    shopper.does("Product Viewed", NOON, device=device)
    shopper.does("Product Viewed", NOON + MINUTE, device=device)
    shopper.does("Product Added", NOON + 3 * MINUTE, device=device)
    return shopper


def test_the_guides_mobile_shopper_is_in_thirty_minutes_after_the_add_to_the_microsecond(
    segments: Segments,
) -> None:
    shopper = a_mobile_shopper(segments)
    enters = NOON + 33 * MINUTE

    assert not shopper.is_in("high-intent-mobile", enters - 1)
    assert shopper.until("high-intent-mobile", NOON + 4 * MINUTE) == enters
    assert shopper.is_in("high-intent-mobile", enters)
    assert not shopper.is_in("high-intent-mobile", NOON + 2 * HOUR), "a view has left the window"


def test_the_guides_shopper_who_buys_or_sits_at_a_desk_is_not(segments: Segments) -> None:
    buyer, sitter = a_mobile_shopper(segments), a_mobile_shopper(segments, device="desktop")
    buyer.does("Order Completed", NOON + 33 * MINUTE)

    assert not buyer.is_in("high-intent-mobile", NOON + 34 * MINUTE)
    assert not sitter.is_in("high-intent-mobile", NOON + 34 * MINUTE)


def test_a_cart_is_abandoned_after_24_hours_and_not_a_second_before(segments: Segments) -> None:
    shopper = Shopper(segments)
    shopper.does("Product Added", NOON)

    assert not shopper.is_in("cart-left-a-day", NOON + DAY - SECOND)
    assert shopper.is_in("cart-left-a-day", NOON + DAY)
    assert not shopper.is_in("cart-left-a-day", NOON + 7 * DAY)


def test_repeat_visitors_came_on_three_visits_and_bought_nothing(segments: Segments) -> None:
    visitor, buyer, clicker = Shopper(segments), Shopper(segments), Shopper(segments)
    for visit in range(3):
        for one in (visitor, buyer):
            one.does("Product Viewed", NOON + visit * DAY)
            one.does("Product Viewed", NOON + visit * DAY + MINUTE)
    for click in range(6):
        clicker.does("Product Viewed", NOON + click * MINUTE)
    buyer.does("Order Completed", NOON + 2 * DAY + HOUR)

    now = NOON + 3 * DAY
    assert visitor.is_in("repeat-visitors", now)
    assert not buyer.is_in("repeat-visitors", now)
    assert not clicker.is_in("repeat-visitors", now)


def test_high_engagement_is_clicking_what_we_send_or_staying_when_they_come(
    segments: Segments,
) -> None:
    clicker, stayer, passer = Shopper(segments), Shopper(segments), Shopper(segments)
    for click in range(2):
        clicker.does("Message Clicked", NOON + click * DAY, campaign="win-back", channel="email")
    for view in range(10):
        stayer.does("Product Viewed", NOON + view * MINUTE)
        passer.does("Product Viewed", NOON + view * 40 * MINUTE)

    assert clicker.is_in("highly-engaged", NOON + 2 * DAY)
    assert stayer.is_in("highly-engaged", NOON + HOUR)
    assert not passer.is_in("highly-engaged", NOON + DAY)


def test_a_birthday_is_soon_three_local_days_before(segments: Segments) -> None:
    shopper = Shopper(segments, birthday="1990-05-20")
    begins = parse_instant("2026-05-17T04:00Z")

    assert not shopper.is_in("birthday-soon", begins - 1)
    assert shopper.is_in("birthday-soon", begins)
    assert shopper.is_in("birthday-soon", parse_instant("2026-05-21T03:59Z"))
    assert not shopper.is_in("birthday-soon", parse_instant("2026-05-21T04:00Z"))


def test_an_evening_browser_is_one_between_six_and_ten_where_they_live(segments: Segments) -> None:
    shopper = Shopper(segments)
    evening = parse_instant("2026-03-02T23:00Z")  # six in New York
    for view in range(3):
        shopper.does("Product Viewed", evening - 10 * MINUTE + view * MINUTE)

    assert not shopper.is_in("evening-browsers", evening - 1)
    assert shopper.until("evening-browsers", evening - 7 * MINUTE) == evening
    assert shopper.is_in("evening-browsers", evening)
    assert not shopper.is_in("evening-browsers", evening + 20 * MINUTE)


def test_the_lapsed_are_in_45_days_after_their_last_order(segments: Segments) -> None:
    shopper = Shopper(segments)
    shopper.does("Order Completed", NOON)

    assert not shopper.is_in("lapsed-45-days", NOON + 45 * DAY - 1)
    assert shopper.is_in("lapsed-45-days", NOON + 45 * DAY)
