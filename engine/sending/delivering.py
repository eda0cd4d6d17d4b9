"""The sending side of a running engine: providers opened, rates kept, the outbox driven.

One event loop in a thread of its own, for as long as the engine runs; a new release starts it over,
after what is under way. Read next: `sending`, its lanes; `outbox`, what a lane does.
"""

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from channels import open_provider
from channels.base import Provider
from engine.core.model.instants import Instant
from engine.hearing.invented import Due, Echoes
from engine.learning.picking import Picker
from engine.release.playbook import Playbook
from engine.reserve import Reserve
from engine.sending.composing import Links
from engine.sending.lanes import Paces
from engine.sending.loop import keep_sending
from engine.sending.outbox import CALL_SECONDS_MAX, Outbox
from engine.sending.webhooks import calls_webhooks, open_webhooks
from engine.settings import DIRECTORY, Settings
from engine.steady import SteadyClock
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.store.queue import WEBHOOK
from engine.ticking.tick import Ticker
from engine.vault import Vault

ECHO_SECONDS: Final = 0.5


@dataclass(kw_only=True)
class Delivering:
    """What sends, with all it needs of the engine it is part of.

    Attributes:
        playbook: Gives what is played now.
        present: The engine's one time; `clock` says whether it can be trusted.
        ticker: Whose messages are ours, and what came to us from a dead worker.
        stop: Set when the engine is to end.
    """

    settings: Settings
    database: Database
    vault: Vault
    log: EventLog
    links: Links
    paces: Paces
    reserve: Reserve
    ticker: Ticker
    clock: SteadyClock
    stop: threading.Event
    playbook: Callable[[], Playbook | None]
    present: Callable[[], Instant]
    write: Callable[[Callable[[Connection], Any]], Any]
    picker: Picker

    def run(self) -> None:
        """Send until the engine stops.

        Raises:
            NotOwner: If another engine has taken over.
        """
        asyncio.run(self._send_loop())

    async def _send_loop(self) -> None:
        while not self.stop.is_set():
            playbook = self.playbook()
            if playbook is None:
                await asyncio.sleep(self.settings.tick_idle_seconds)
                continue
            providers = self._providers(playbook)
            self._follow_rates(playbook)
            echoes = Echoes(self.log)
            outbox = Outbox(
                self.database,
                vault=self.vault,
                providers=providers,
                links=self.links,
                rng=random.SystemRandom(),
                write=self.write,
                on_sent=echoes.remember,
                paces=self.paces,
                clock=self.present,
                holding=self.ticker.holding,
                log=self.log,
                call_seconds_max=self._call_seconds_max(),
                picker=self.picker,
            )
            try:
                # Nothing is under way yet: what is open was left so, by us or by another.
                outbox.recover(playbook, now=self.present(), holding=self.ticker.holding())
                sending = keep_sending(
                    outbox,
                    playbook,
                    clock=self.clock.latest,
                    is_on=partial(self._plays, playbook),
                    may_send=self._may_send,
                    idle_seconds=self.settings.tick_idle_seconds,
                )
                taking_over = self._take_over(outbox, playbook)
                await asyncio.gather(sending, taking_over, self._echo(echoes, playbook))
            finally:
                for provider in providers.values():
                    await provider.close()
            # Without a channel there is nothing to wait for but another release.
            await asyncio.sleep(self.settings.tick_idle_seconds)

    def _follow_rates(self, playbook: Playbook) -> None:
        """Keep the rates of the release; of several workers each its part, so that together they
        keep the whole."""
        channels = playbook.workspace.settings.channels
        rates = {str(name): form.rate for name, form in channels.items()}
        domains = {
            str(name): {str(domain): rate for domain, rate in form.domains.items()}
            for name, form in channels.items()
        }
        self.paces.follow(rates, domains=domains, share=self.ticker.share())

    def _may_send(self) -> bool:
        """Not while the clock jumps, nor on the room that is kept for opt-outs."""
        return self.clock.is_steady() and not self.reserve.is_short

    def _plays(self, playbook: Playbook) -> bool:
        """Whether the engine still goes by this release."""
        return not self.stop.is_set() and self.playbook() is playbook

    def _call_seconds_max(self) -> float:
        """A worker's calls end long before somebody may take it for dead (P11)."""
        if not self.ticker.is_shared:
            return CALL_SECONDS_MAX
        return min(CALL_SECONDS_MAX, self.settings.lease_seconds / 3)

    async def _take_over(self, outbox: Outbox, playbook: Playbook) -> None:
        """Settle what the owners before us left open, whenever partitions come to us."""
        while self.ticker.is_shared and self._plays(playbook):
            await asyncio.to_thread(
                self.ticker.settle,
                lambda it: outbox.recover(playbook, now=self.present(), holding=it),
            )
            self._follow_rates(playbook)
            await asyncio.sleep(self.settings.tick_idle_seconds)

    async def _echo(self, echoes: Echoes, playbook: Playbook) -> None:
        """Let the sandboxes' recipients answer when their time comes."""
        while self._plays(playbook):
            now = self.present()
            due = echoes.due(until=now)
            if due is not None:
                await asyncio.to_thread(self._take_in, echoes, due, now)
            await asyncio.sleep(ECHO_SECONDS)

    def _take_in(self, echoes: Echoes, due: Due, now: Instant) -> None:
        self.write(lambda connection: echoes.take_in(connection, due, now=now))

    def _callback_url(self, channel: str) -> str:
        """Where a provider of this channel reports to; "" while we have no public address."""
        public = self.settings.public_url
        return f"{public}/webhooks/{channel}" if public else ""

    def _providers(self, playbook: Playbook) -> dict[str, Provider]:
        rng = random.SystemRandom()
        opened = {
            str(channel): open_provider(
                playbook.workspace.channel_kind(str(channel)),
                str(form.provider),
                form.settings,
                directory=self.settings.directory / DIRECTORY,
                rng=rng,
                now=self.present,
                callback_url=self._callback_url(str(channel)),
            )
            for channel, form in playbook.workspace.settings.channels.items()
        }
        if calls_webhooks(playbook.program):
            opened[WEBHOOK] = open_webhooks(
                "http", now=self.present, is_local=bool(self.settings.webhook_local)
            )
        return opened
