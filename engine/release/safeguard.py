"""Pauses a campaign by itself when too many people complain or too many addresses do not exist.

Mailbox providers judge a sender by these two figures (`limits:` in antiphon.yaml); a campaign that
goes on past them takes the others' deliverability with it. The pause is an order like an
operator's, with its reason: `antiphon campaign resume` takes it back, and only what goes out after
that counts.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from msgspec import Struct

from campaigns.sending_forms import LimitsForm
from campaigns.workspace import Workspace
from engine.core.model.instants import DAY, HOUR, Instant
from engine.readout.deliverability import n_sent
from engine.release import operating
from engine.release.operating import Order, Standing, carry_out
from engine.store.connection import Connection
from engine.store.database import Database
from engine.tables import TROUBLE

log = logging.getLogger("antiphon.safeguard")

WINDOW: Final = 7 * DAY
"""Messages that went out in so much time are judged together."""
LATE: Final = DAY
"""A provider's clock may be behind by as much."""
AGAIN: Final = HOUR
"""What has not changed is judged again after so long: good messages leave the window, too."""


class Bad(Struct, frozen=True):
    """What came back of one campaign's messages."""

    complaints: int = 0
    hard_bounces: int = 0


class Safeguard:
    """Looks at what came back since it looked last; nothing is counted where nothing is new."""

    def __init__(self) -> None:
        self._judged: dict[str, tuple[Bad, Instant]] = {}

    def keep(
        self,
        database: Database,
        workspace: Workspace,
        *,
        write: Callable[[Callable[[Connection], Any]], Any],
        now: Instant,
    ) -> list[str]:
        """Pause every campaign that is past a limit of the live workspace; give their names."""
        with database.read() as connection:
            passed = self.passed(connection, limits=workspace.settings.limits, now=now)
        for campaign, why in passed.items():
            order = Order("pause", campaign, why=why, by="automatic")
            write(partial(carry_out, order=order, workspace=workspace, now=now))
            log.warning('campaign "%s" is paused: %s', campaign, why)
        return list(passed)

    def passed(self, connection: Connection, *, limits: LimitsForm, now: Instant) -> dict[str, str]:
        """Campaigns that are past a limit and run on, each with the reason in words."""
        standings = operating.standings(connection)
        found: dict[str, str] = {}
        for campaign, bad in came_back(connection, standings, now=now).items():
            before, judged_at = self._judged.get(campaign, (Bad(), 0))
            is_new = bad != before or not 0 <= now - judged_at < AGAIN
            if not is_new or not _may_pass(bad, limits):
                continue
            since = max(now - WINDOW, standings.get(campaign, Standing()).resumed_at)
            sent = n_sent(connection, campaign, since=since)
            why = _why(bad, sent, limits)
            if why:
                found[campaign] = why
            elif sent >= limits.of:  # of too few nothing can be said yet
                self._judged[campaign] = (bad, now)
        return found


def came_back(
    connection: Connection, standings: Mapping[str, Standing], *, now: Instant
) -> dict[str, Bad]:
    """Complaints and hard bounces by campaign, of messages that went out in the window."""
    since = now - WINDOW
    rows = connection.execute(
        "SELECT m.campaign, m.id, a.started_at, e.kind FROM delivery_event e "
        "JOIN message m ON m.id = e.message_id JOIN attempt a ON a.message_id = m.id "
        f"WHERE {TROUBLE.replace('kind', 'e.kind').replace('bounce', 'e.bounce')} "
        "AND e.at >= ? AND a.outcome = 'accepted' AND a.started_at >= ?",
        (since - LATE, since),
    )
    rows += connection.execute(
        "SELECT m.campaign, m.id, a.started_at, 'bounced' FROM attempt a "
        "JOIN message m ON m.id = a.message_id WHERE a.bounce = 'hard' AND a.started_at >= ?",
        (since,),
    )
    complained: dict[str, set[int]] = defaultdict(set)
    bounced: dict[str, set[int]] = defaultdict(set)
    for campaign, message, started_at, kind in rows:
        standing = standings.get(campaign, Standing())
        if standing.held != "paused" and started_at >= standing.resumed_at:
            (complained if kind == "complained" else bounced)[campaign].add(message)
    return {
        name: Bad(len(complained[name]), len(bounced[name]))
        for name in sorted({*complained, *bounced})
    }


def _may_pass(it: Bad, limits: LimitsForm) -> bool:
    """Whether it could be past a limit at all: counting what was sent is dear."""
    return (
        it.complaints > limits.complaints * limits.of
        or it.hard_bounces > limits.hard_bounces * limits.of
    )


def _why(it: Bad, sent: int, limits: LimitsForm) -> str:
    if sent < limits.of:
        return ""
    for n, limit, what in (
        (it.complaints, limits.complaints, "complaints"),
        (it.hard_bounces, limits.hard_bounces, "hard bounces"),
    ):
        if n > limit * sent:
            return f"{n:,} {what} of {sent:,} messages: {n / sent:.2%}, the limit is {limit:.2%}"
    return ""
