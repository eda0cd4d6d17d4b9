"""What the sandboxes' invented recipients do with a message, kept until its time comes.

Held in memory: an echo that a restart forgets was never promised by anyone. One thread calls this.
"""

import heapq
from itertools import count

from msgspec import Struct, field

from channels.base import Provider
from channels.delivery import DeliveryEvent
from channels.sandbox import Sandbox
from engine.consent.unsubscribe import withdraw
from engine.core.model.instants import Instant
from engine.hearing.feedback import take_in
from engine.sending.composing import Composed
from engine.store.connection import Connection
from engine.store.events import EventLog


class Due(Struct):
    """Echoes whose time has come: reports by provider, and messages whose readers said no."""

    reports: dict[str, list[DeliveryEvent]] = field(default_factory=dict)
    withdrawn: list[int] = field(default_factory=list)


class Echoes:
    """A queue of future delivery events, soonest first."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._number = count()
        self._waiting: list[tuple[Instant, int, DeliveryEvent, str]] = []

    def remember(self, provider: Provider, composed: Composed, now: Instant) -> None:
        """Ask a sandbox what will become of a message; real providers report by themselves."""
        if not isinstance(provider, Sandbox):
            return
        for event in provider.echo(composed.message, at=now):
            heapq.heappush(self._waiting, (event.at, next(self._number), event, provider.name))

    def due(self, *, until: Instant) -> Due | None:
        """Take out what happens before `until`; None if nothing does."""
        found = Due()
        while self._waiting and self._waiting[0][0] < until:
            _, _, event, provider = heapq.heappop(self._waiting)
            if event.kind == "unsubscribed" and event.message is not None:
                found.withdrawn.append(event.message)
            else:
                found.reports.setdefault(provider, []).append(event)
        return found if found.reports or found.withdrawn else None

    def take_in(self, connection: Connection, due: Due, *, now: Instant) -> None:
        """Record echoes as if providers and people had reported them."""
        for provider, events in due.reports.items():
            take_in(connection, events, provider=provider, log=self._log, now=now)
        for message in due.withdrawn:
            withdraw(
                connection,
                message=message,
                scope="topic",
                log=self._log,
                now=now,
                proof="an invented click of the sandbox",
            )
