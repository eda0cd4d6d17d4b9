"""The campaigns of the rig's shop beyond those of `build`: each for what only it makes happen."""

from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from engine.core.model.campaigns import (
    ApiTrigger,
    Campaign,
    DateTrigger,
    EventTrigger,
    Holdout,
    Reentry,
    SegmentTrigger,
)
from engine.core.model.conditions import EventMatch, LocalTimeCondition
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.core.model.steps import (
    BestTime,
    Duration,
    Expression,
    FirstPossible,
    Repeat,
    Send,
    Track,
    WaitFor,
    Webhook,
)
from tests.rig.build import a_playbook

CART_MOVES: Final = {"wait": "linger"}
"""From the cart's first journey to its second; in the other direction nobody is moved."""
ROUNDS: Final = 3
CALLS: Final = 2


@lru_cache
def cart_of(files: str) -> Campaign:
    """The cart's campaign in a file version: from "v2" on its wait is another one, and longer."""
    first = a_playbook().program.campaigns["cart"]
    if files == "v1":
        return first
    steps = {name: it for name, it in first.steps.items() if name != "wait"}
    for name in ("soft", "hard"):
        send = steps[name]
        assert isinstance(send, Send)
        steps[name] = replace(send, next="linger")
    nudge = steps["nudge"]
    arms = {"control": "linger", "soft": "soft", "hard": "hard"}
    steps["nudge"] = replace(nudge, arms=arms)
    hours = 3 if files == "v2" else 1
    steps["linger"] = WaitFor(
        "linger",
        EventMatch("Product Viewed"),
        Duration(hours * HOUR),
        then="fork",
        on_timeout="fork",
    )
    return replace(first, version=files, steps=steps)


@lru_cache
def later_campaigns() -> dict[str, Campaign]:
    """Rounds with an end, calls of webhooks, a date, the API, and a message that displaces."""
    found = (_survey(), _check(), _birthday(), _pickup(), _offer(), _evening())
    return {it.name: it for it in found}


def _survey() -> Campaign:
    """Up to three rounds of what is possible, until an order; then at a drawn hour."""
    return Campaign(
        name="survey",
        version="v1",
        trigger=EventTrigger(EventMatch("Page Seen")),
        steps={
            "rounds": Repeat(
                "rounds",
                times=ROUNDS,
                every=Duration(40 * MINUTE),
                body="ask",
                until=EventMatch("Order Completed"),
                next="later",
            ),
            "ask": FirstPossible("ask", ("text", "mail"), next="rounds"),
            "text": Send("text", "sms", "hello", next="rounds"),
            "mail": Send("mail", "email", "last", next="rounds"),
            "later": BestTime("later", 3 * HOUR, next="bye"),
            "bye": Send("bye", "sms", "hello"),
        },
        first="rounds",
        reentry=Reentry("after_exit"),
        topic="offers",
        priority=30,
        send_window=LocalTimeCondition(6 * 60, 22 * 60),
    )


def _check() -> Campaign:
    """Calls a URL twice, an hour apart, and says which answer it was given."""
    return Campaign(
        name="check",
        version="v1",
        trigger=EventTrigger(EventMatch("Product Viewed")),
        steps={
            "twice": Repeat("twice", times=CALLS, every=Duration(HOUR), body="call"),
            "call": Webhook(
                "call",
                "https://stock.example/v1",
                body={"plan": "any"},
                save_as="reply",
                timeout=5 * SECOND,
                next="told",
            ),
            "told": Track(
                "told",
                "Checked",
                {"of": Expression("{{ reply.of }}", ("reply.of",))},
                next="twice",
            ),
        },
        first="twice",
        reentry=Reentry("after_gap", gap=HOUR),
        holdout=Holdout(0.1, "check-holdout"),
        topic="offers",
        priority=40,
    )


def _birthday() -> Campaign:
    return Campaign(
        name="birthday",
        version="v1",
        trigger=DateTrigger(("birthday",), at_minute=11 * 60, is_yearly=True),
        steps={"mail": Send("mail", "email", "last")},
        first="mail",
        reentry=Reentry("after_exit"),
        topic="offers",
        priority=70,
    )


def _pickup() -> Campaign:
    """Started by the API, once an order."""
    return Campaign(
        name="pickup",
        version="v1",
        trigger=ApiTrigger(key="properties.order"),
        steps={"ready": Send("ready", "email", "receipt")},
        first="ready",
        topic="orders",
    )


def _offer() -> Campaign:
    """Important enough to take the place of what is still queued."""
    return Campaign(
        name="offer",
        version="v1",
        trigger=SegmentTrigger("hot"),
        steps={"mail": Send("mail", "email", "last")},
        first="mail",
        reentry=Reentry("after_exit"),
        topic="offers",
        when_capped="drop",
        priority=90,
    )


def _evening() -> Campaign:
    """Entered and left by the clock alone."""
    return Campaign(
        name="evening",
        version="v1",
        trigger=SegmentTrigger("evening", on="exit"),
        steps={"mark": Track("mark", "Evening Over", {})},
        first="mark",
        reentry=Reentry("after_exit"),
        topic="offers",
    )
