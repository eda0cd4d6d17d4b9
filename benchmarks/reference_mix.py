"""The reference mix of the hot path: the workspace, the people and the traffic that it names.

100,000 profiles, visited uniformly; 10 segments over 8 features (the wait keeps a ninth); one
journey with a wait, an experiment in thirds and an e-mail, behind a holdout, consent, a cap, quiet
hours and suppression.
Everything comes in through the real `prepare` and `Ingest`, so the rows are those of life.
"""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.core.clocktime import iso
from engine.core.model.instants import Instant

BATCH: Final = 100
MIX: Final[Mapping[str, int]] = {
    "Product Viewed": 55,
    "Page Viewed": 20,
    "Product Added": 15,
    "Checkout Started": 5,
    "Order Completed": 5,
}
CART_HEAVY: Final[Mapping[str, int]] = {
    "Product Viewed": 20,
    "Page Viewed": 10,
    "Product Added": 60,
    "Checkout Started": 5,
    "Order Completed": 5,
}
"""Where most events start a journey: four times the steps an event."""

_SETTINGS = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, first_name: {type: string}, country: {type: string}}
channels: {email: {provider: sandbox, from: "Shop <shop@shop.example>"}}
quiet_hours: {from: "21:00", to: "09:00"}
caps: [{channel: email, max: 3, per: 7d}]
"""

_SEGMENTS: Final[Mapping[str, str]] = {
    "viewed-twice": "{event: Product Viewed, count: {gte: 2}, within: 2h}",
    "viewed-often": "{event: Product Viewed, count: {gte: 5}, within: 7d}",
    "has-cart": "{event: Product Added, within: 2h}",
    "left-cart": (
        "{event: Product Added, within: 24h, not_followed_by: {event: Order Completed, for: 30m}}"
    ),
    "buyer": "{event: Order Completed}",
    "loyal": "{event: Order Completed, count: {gte: 3}, within: 90d}",
    "browser": "{session: {duration: {gte: 2m}, within: 7d}}",
    "german": "{trait: {country: DE}}",
    "warm": "{any: [{segment: viewed-twice}, {segment: has-cart}]}",
    "lapsed": "{not: {event: Order Completed, within: 45d}}",
}

_CAMPAIGN = """\
campaign: cart
title: Win back carts
state: live
trigger: {event: Product Added}
reentry: {when: after_exit}
holdout: 10%
topic: offers
journey:
  - wait_for: {event: Order Completed, timeout: 30m}
    id: settle
    then: []
    on_timeout:
      - experiment: cart-nudge
        variants:
          control: {weight: 1, do: []}
          soft: {weight: 1, do: [{send: {channel: email, template: cart}}]}
          hard: {weight: 1, do: [{send: {channel: email, template: cart}}]}
        metrics: {primary: orders}
"""

_TEMPLATE = """\
---
subject: "Your cart, {{ profile.first_name }}"
---
<html><body><p>Hello {{ profile.first_name }}, {{ event.product_id }} waits for you.</p>
<p><a href="{{ link('https://shop.example/cart') }}">Your cart</a></p>
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>
"""


def workspace_files() -> dict[str, bytes]:
    """The workspace, by path."""
    files = {
        "antiphon.yaml": _SETTINGS,
        "campaigns/cart.yaml": _CAMPAIGN,
        "metrics/orders.yaml": (
            "metric: orders\nevent: Order Completed\nmeasure: happened\nwithin: 7d\n"
        ),
        "templates/email/cart.html": _TEMPLATE,
    }
    for name, when in _SEGMENTS.items():
        files[f"segments/{name}.yaml"] = f"segment: {name}\nwhen: {when}\n"
    return {path: text.encode() for path, text in files.items()}


def identify_calls(n_profiles: int, *, at: Instant, rng: random.Random) -> Iterator[bytes]:
    """Request bodies that introduce everyone; nine in ten consent."""
    for start in range(0, n_profiles, BATCH):
        yield _body(
            [
                {
                    "type": "identify",
                    "messageId": f"{rng.getrandbits(128):032x}",
                    "userId": f"user-{number}",
                    "traits": {
                        "email": f"person{number}@shop.example",
                        "first_name": rng.choice(("Ada", "Noor", "Jonas", "Mei")),
                        "country": rng.choice(("DE", "FR", "NL")),
                        "consent": {"email": {"offers": rng.random() < 0.9}},
                    },
                }
                for number in range(start, min(start + BATCH, n_profiles))
            ],
            at,
        )


def traffic(
    n_events: int,
    n_profiles: int,
    *,
    at: Instant,
    rng: random.Random,
    mix: Mapping[str, int] = MIX,
) -> bytes:
    """One request body of the mix, by anyone."""
    names = rng.choices(list(mix), weights=list(mix.values()), k=n_events)
    return _body([_event(name, rng.randrange(n_profiles), rng) for name in names], at)


def _event(name: str, number: int, rng: random.Random) -> dict[str, Any]:
    product = rng.randrange(5_000)
    call: dict[str, Any] = {
        "type": "page" if name == "Page Viewed" else "track",
        "messageId": f"{rng.getrandbits(128):032x}",
        "userId": f"user-{number}",
        "properties": {
            "product_id": f"p{product}",
            "price": round(rng.random() * 100, 2),
            "category": f"category-{product % 40}",
            "url": f"https://shop.example/products/{product}?ref=home",
            "quantity": rng.randrange(1, 4),
        },
        "context": {
            "locale": "de-DE",
            "page": {"path": f"/products/{product}"},
            "library": {"name": "analytics.js", "version": "2.1.0"},
        },
    }
    if name != "Page Viewed":
        call["event"] = name
    return call


def _body(calls: list[dict[str, Any]], at: Instant) -> bytes:
    for call in calls:
        call["timestamp"] = iso(at)
    return json.dumps({"batch": calls, "sentAt": iso(at)}).encode()
