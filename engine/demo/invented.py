"""The invented part: who the households are, what they agreed to, and some carts.

Everything hangs on the seed and the household's number alone, so a run with fewer households has
the same people. Addresses are at example.com and numbers begin with +1 555: nobody has them.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, MINUTE, Instant
from engine.demo.orders import Order
from engine.intake.calls import Call
from engine.intake.declared import Declared
from engine.intake.prepare import Fact, Terms, prepare_items

SOURCE: Final = "demo"

CONSENT: Final = {"email": 0.95, "sms": 0.85, "push": 0.6, "web": 0.9}
"""Shares of households that agreed to offers by each channel; push needs the app."""
ZONES: Final = ("America/New_York",) * 9 + ("America/Chicago",)
CARTS_BEFORE_ORDER: Final = 0.02
CARTS_ABANDONED: Final = 0.012
"""Carts invented per real order: some paid for within half an hour, some never."""

NAMES: Final = (
    "Ada", "Amir", "Ana", "Ben", "Bo", "Cara", "Chen", "Clara", "Dana", "David", "Ella", "Emil",
    "Eva", "Farid", "Finn", "Grace", "Hana", "Hugo", "Ida", "Ines", "Ivan", "Jack", "Joy", "June",
    "Kai", "Lara", "Leo", "Lina", "Luis", "Mara", "Max", "Mei", "Mia", "Nadia", "Noah", "Nora",
    "Olga", "Omar", "Paul", "Pia", "Rosa", "Ruth", "Sam", "Sara", "Theo", "Tom", "Uma", "Vera",
    "Yara", "Zoe",
)  # fmt: skip

PRODUCTS: Final = (
    "olive oil", "sourdough", "oat milk", "coffee", "cheddar", "pasta", "basil", "dark chocolate",
)  # fmt: skip

_encode: Final = msgspec.json.Encoder().encode


def draw(*parts: object) -> random.Random:
    """A generator of its own for each thing decided, so that adding one shifts no other."""
    return random.Random("\0".join(map(str, parts)))


def people(
    households: Iterable[int], *, sizes: dict[int, int], at: Instant, seed: int
) -> Iterator[Call]:
    """An identify call per household, with traits and consent."""
    for household in sorted(households):
        rng = draw(seed, "person", household)
        name = rng.choice(NAMES)
        agreed = {channel: rng.random() < share for channel, share in CONSENT.items()}
        traits: dict[str, Any] = {
            "first_name": name,
            "email": f"{name.lower()}.{household}@example.com",
            "phone": f"+1555{household:07}",
            "timezone": rng.choice(ZONES),
            "consent": {channel: {"offers": yes} for channel, yes in agreed.items()},
        }
        if agreed["push"]:
            traits["push_token"] = f"demo-token-{household}"
        if household in sizes:
            traits["household_size"] = sizes[household]
        yield Call(
            type="identify",
            user_id=user_id(household),
            message_id=f"person-{household}",
            timestamp=iso(at),
            traits=Raw(_encode(traits)),
        )


def user_id(household: int) -> str:
    """What the shop calls a household."""
    return f"household-{household}"


def purchases(orders: Iterable[Order]) -> Iterator[Call]:
    """An `Order Completed` per real basket."""
    for order in orders:
        yield purchase(order, order_id=str(order.basket), at=order.at)


def purchase(order: Order, *, order_id: str, at: Instant) -> Call:
    """The call that an order makes, at a time of its own or another."""
    return Call(
        type="track",
        event="Order Completed",
        user_id=user_id(order.household),
        message_id=f"order-{order_id}",
        timestamp=iso(at),
        properties=Raw(
            _encode(
                {
                    "order_id": order_id,
                    "revenue": order.revenue,
                    "items": order.items,
                    "department": order.department,
                    "discount": order.discount,
                    "products": order.products,
                }
            )
        ),
    )


def carts(orders: Sequence[Order], *, since: Instant, seed: int) -> Iterator[Call]:
    """Invented carts: some are paid for by a real order, some are left."""
    for order in orders:
        if order.at < since:
            continue
        rng = draw(seed, "cart", order.basket)
        chance = rng.random()
        if chance < CARTS_BEFORE_ORDER:
            at = order.at - rng.randrange(2 * MINUTE, 25 * MINUTE)
        elif chance < CARTS_BEFORE_ORDER + CARTS_ABANDONED:
            at = order.at + rng.randrange(6 * HOUR, 3 * DAY)
        else:
            continue
        yield Call(
            type="track",
            event="Product Added",
            user_id=user_id(order.household),
            message_id=f"cart-{order.basket}",
            timestamp=iso(at),
            properties=Raw(
                _encode(
                    {
                        "cart_id": f"cart-{order.basket}",
                        "cart_value": round(rng.uniform(8, 90), 2),
                        "product": rng.choice(PRODUCTS),
                    }
                )
            ),
        )


def as_facts(calls: Iterable[Call], *, declared: Declared, until: Instant) -> list[Fact]:
    """Calls checked by the engine's own ingest; every one must pass.

    Args:
        until: After the last of them; nothing lies in its future.
    """
    terms = Terms(declared=declared, entropy=_no_entropy, source=SOURCE, accepted_at="event")
    prepared = prepare_items(list(calls), terms=terms, received_at=until)
    for answer in prepared.answers:
        assert answer.status == "accepted", f"the demo invented a wrong call: {answer.message}"
    return [fact for _, fact in prepared.facts]


def _no_entropy(n_bytes: int) -> bytes:
    raise AssertionError("every call of the demo has a messageId")
