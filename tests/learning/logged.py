"""A log written straight into the store: people, what they did, merges and messages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from campaigns.models import FEATURES, Learning
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, Instant
from engine.learning.features.table import FeatureTable
from engine.learning.history import History, history
from engine.store import bulk
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.merging import Merged, redirect

BEGIN = parse_instant("2026-03-02T00:00:00Z")
"""A Monday."""


def day(number: float) -> Instant:
    """An instant so many days after BEGIN."""
    return BEGIN + round(number * DAY)


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Log:
    """Writes into one database; people are made as they are first heard of."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._log = EventLog()
        self._n_messages = 0

    def people(
        self, *ids: int, met: Instant = BEGIN, traits: Mapping[str, Any] | None = None
    ) -> None:
        self.met(dict.fromkeys(ids, met), traits=traits)

    def met(self, when: Mapping[int, Instant], *, traits: Mapping[str, Any] | None = None) -> None:
        names = ("id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed",
                 "addresses", "consent")  # fmt: skip
        rows = [
            (it, f"u{it}", at, "UTC", "", text(traits or {}), "{}", "{}", "{}")
            for it, at in when.items()
        ]
        with self.database.write() as connection:
            bulk.insert(connection, "profile", names, rows)

    def happened(self, *events: Mapping[str, Any]) -> None:
        """Events as `event` makes them, in the order in which they are told."""
        rows = [
            (
                None, it["profile"], it["name"], it["at"], it["told"], it["flags"],
                text(it["properties"]), text(it["context"]),
                None if it["traits"] is None else text(it["traits"]),
            )
            for it in events
        ]  # fmt: skip
        with self.database.write() as connection:
            self._log.append(connection, rows, now=max((row[4] for row in rows), default=0))

    def merge(self, *, loser: int, winner: int) -> None:
        with self.database.write() as connection:
            redirect(connection, Merged(winner, loser, people=[None]))  # type: ignore[list-item]

    def message(
        self, profile: int, at: Instant, *, channel: str = "email", outcome: str = "accepted"
    ) -> int:
        """A message sent at an instant; its id."""
        self._n_messages += 1
        it = self._n_messages
        with self.database.write() as connection:
            bulk.insert(
                connection,
                "message",
                ("id", "profile_id", "enrollment_id", "campaign", "version", "step", "visit",
                 "variant", "channel", "topic", "template", "template_hash", "status", "reason",
                 "held_by", "at", "due_at", "expires_at", "context"),
                [(it, profile, it, "c", "v", "s", 0, "", channel, "offers", "t", "", "sent", "",
                  "", at, at, at + DAY, "{}")],
            )  # fmt: skip
            bulk.insert(
                connection,
                "attempt",
                ("message_id", "number", "provider", "started_at", "finished_at", "outcome",
                 "provider_id", "detail", "body_digest"),
                [(it, 1, "sandbox", at, at, outcome, "", "", "")],
            )  # fmt: skip
        return it

    def execute(self, sql: str, *params: Any) -> None:
        with self.database.write() as connection:
            connection.execute(sql, params)

    @contextmanager
    def history(self, as_of: Instant, **options: Any) -> Iterator[History]:
        options.setdefault("learning", Learning())
        with (
            self.database.read() as connection,
            history(connection, as_of=as_of, **options) as found,
        ):
            yield found

    def features(
        self,
        as_of: Instant,
        names: Sequence[str] = FEATURES,
        *,
        zone: str = "UTC",
        among: Sequence[int] | None = None,
        **options: Any,
    ) -> FeatureTable:
        with self.history(as_of, **options) as found:
            return found.features(names, zone=zone, among=among)


def event(
    profile: int,
    name: str,
    at: Instant,
    properties: Mapping[str, Any] | None = None,
    *,
    told: Instant | None = None,
    flags: int = 0,
    context: Mapping[str, Any] | None = None,
    traits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An event, told the moment it happens unless said."""
    return {
        "profile": profile,
        "name": name,
        "at": at,
        "told": at if told is None else told,
        "flags": flags,
        "properties": properties or {},
        "context": context or {},
        "traits": traits,
    }


def order(profile: int, at: Instant, revenue: float, *lines: Any, **more: Any) -> dict[str, Any]:
    """An order; a line is (product, category)."""
    products = [{"product_id": product, "category": category} for product, category in lines]
    return event(profile, "Order Completed", at, {"revenue": revenue, "products": products}, **more)


def refund(profile: int, at: Instant, revenue: float, *products: Any) -> dict[str, Any]:
    lines = [{"product_id": it} for it in products]
    return event(profile, "Order Refunded", at, {"revenue": revenue, "products": lines})


def of(table: FeatureTable, profile: int) -> dict[str, Any]:
    """A person's features by name."""
    (row,) = [place for place, it in enumerate(table.ids.tolist()) if it == profile]
    found = {name: column[row].item() for name, column in table.numbers.items()}
    found |= {name: str(column[row]) for name, column in table.texts.items()}
    if table.shares is not None:
        mine = table.shares.rows == row
        found["shares"] = dict(
            zip(
                table.shares.categories[mine].tolist(),
                table.shares.shares[mine].tolist(),
                strict=True,
            )
        )
    return found
