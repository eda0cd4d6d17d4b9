"""Runs the engine on a real database up to an instant, for tests and hosts that only have cron.

Up to now it is what `serve` does, once: what has happened and what is due is played as of that
instant, and what is queued is sent through the real providers. Beyond now the virtual clock takes
over, on the same database, and only where nothing can be sent in earnest. Schedules begin only if
that is asked for: a run is done once, so one that was made ahead is not made when its time comes.
"""

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from channels import open_provider
from engine.bandits.learning import Learning
from engine.core.model.instants import Instant
from engine.learning.picking import Picker
from engine.opened import Opened
from engine.rehearsed import require_in_earnest
from engine.release.backfill import Backfilling
from engine.release.playbook import Playbook
from engine.sending.composing import Links
from engine.sending.lanes import Paces
from engine.sending.outbox import Outbox
from engine.sending.webhooks import calls_webhooks, open_webhooks
from engine.settings import DIRECTORY, link_key
from engine.simulation.agenda import Agenda
from engine.simulation.due import begin_due
from engine.simulation.ran import Ran
from engine.simulation.replay import Replay, require_sandboxes
from engine.steady import present
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.queue import WEBHOOK
from engine.ticking.tick import Ticker, run_until_idle

RATE_SECONDS = 0.02
"""How often a run that waits for a provider's rate looks again."""
REACHED = "ticked_until"
"""The setting that remembers how far ahead of the real clock this database was played."""


class RanUntil(Struct, frozen=True):
    """What came of it.

    Attributes:
        reached: How far ahead of the instant asked for this database was played before, or 0: what
            has come in since waits for a run beyond it.
        ran: What schedules did.
    """

    n_messages: int
    n_sent: int
    n_waiting: int
    reached: Instant = 0
    ran: tuple[Ran, ...] = ()


def run_until(it: Opened, *, now: Instant, until: Instant, has_schedules: bool = False) -> RanUntil:
    """Play a database up to an instant, and send.

    Args:
        has_schedules: Let schedules begin, too: what is due now, and ahead at its instant.
    Raises:
        UsageError: If that lies beyond `now` and a channel is no sandbox, nothing is applied, or
            the database is of a rehearsal.
        NotOwner: If another engine runs on the database.
    """
    require_in_earnest(it.database)
    # What a crash has left half prepared comes first: where only cron runs, nobody else ends it.
    Backfilling(it.database, vault=it.vault).run(clock=lambda: now)
    playbook = it.playbook(environ=os.environ)
    if until > now:
        require_sandboxes(playbook.workspace)
    it.database.claim()
    with it.database.read() as connection:
        before = _counted(connection)
        rows = connection.execute("SELECT value FROM setting WHERE name = ?", (REACHED,))
    reached = max(int(rows[0][0]) if rows else 0, min(now, until))
    picker = Picker()
    ticker = Ticker(it.database, vault=it.vault, log=EventLog(), owner="tick", picks=picker.pick)
    present = min(now, until)
    run_until_idle(ticker, playbook, floor=present, horizon=present)
    ran: list[Ran] = []
    if has_schedules:
        ran += begin_due(it, playbook, now=present)
        run_until_idle(ticker, playbook, floor=present, horizon=present)
    playbook = Learning().carried_on(it.database, playbook, now=present)
    asyncio.run(_send(it, playbook, picker, now=present))
    if until > now and until >= reached:
        agenda = Agenda(
            it.database, vault=it.vault, directory=it.settings.directory, until=until + 1,
            owner="tick",
        )  # fmt: skip
        replay = Replay(
            it.database, playbook, vault=it.vault, links=_links(it),
            directory=it.settings.directory / DIRECTORY, write=None, owner="tick",
            picks=picker.pick, picker=picker, agenda=agenda if has_schedules else None,
        )  # fmt: skip
        replay.run(start=reached, end=until + 1)
        replay.close()
        ran += agenda.ran.values()
        with it.database.write() as connection:
            connection.execute(
                "INSERT INTO setting (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (REACHED, str(until)),
            )
    with it.database.read() as connection:
        after = _counted(connection)
        waiting = connection.execute(
            "SELECT count(*) FROM message WHERE status IN ('queued', 'deferred')"
        )
    return RanUntil(
        after[0] - before[0], after[1] - before[1], int(waiting[0][0]),
        reached if reached > max(now, until) else 0, tuple(ran),
    )  # fmt: skip


async def _send(it: Opened, playbook: Playbook, picker: Picker, *, now: Instant) -> None:
    rng = random.SystemRandom()
    providers = {
        str(channel): open_provider(
            playbook.workspace.channel_kind(str(channel)), str(form.provider), form.settings,
            directory=it.settings.directory / DIRECTORY, rng=rng, now=lambda: now,
        )
        for channel, form in playbook.workspace.settings.channels.items()
    }  # fmt: skip
    if calls_webhooks(playbook.program):
        providers[WEBHOOK] = open_webhooks(
            "http", now=lambda: now, is_local=bool(it.settings.webhook_local)
        )
    paces = Paces(rng=rng)
    channels = playbook.workspace.settings.channels
    paces.follow({str(name): form.rate for name, form in channels.items()})
    late = present() - now

    def clock() -> Instant:
        return present() - late

    outbox = Outbox(
        it.database, vault=it.vault, providers=providers, links=_links(it), rng=rng,
        paces=paces, clock=clock, log=EventLog(), picker=picker,
    )  # fmt: skip
    try:
        outbox.recover(playbook, now=now)
        for channel in providers:
            await _drain(outbox, playbook, channel, clock, now=now)
    finally:
        for provider in providers.values():
            with suppress(OSError):
                await provider.close()


async def _drain(
    outbox: Outbox,
    playbook: Playbook,
    channel: str,
    clock: Callable[[], Instant],
    *,
    now: Instant,
) -> None:
    """Send what was due at `now`, at the provider's rate; what a resting provider holds up waits
    for the next run."""
    while True:
        done = await outbox.drain(playbook, channel, now=now)
        if not done.is_idle:
            now = max(now, clock())
        elif done.opens_at is not None and done.opens_at <= now:
            await asyncio.sleep(RATE_SECONDS)
            now = clock()
        else:
            return


def _links(it: Opened) -> Links:
    return Links(it.settings.public_url or "http://127.0.0.1:8321", link_key(it.settings))


def _counted(connection: Connection) -> tuple[int, int]:
    rows = connection.execute(
        "SELECT count(*), coalesce(sum(CASE status WHEN 'sent' THEN 1 ELSE 0 END), 0) FROM message"
    )
    return int(rows[0][0]), int(rows[0][1])
