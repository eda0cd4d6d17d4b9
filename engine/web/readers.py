"""The providers of a release, opened to read callbacks.

Those that send live on the event loop of the outbox, or in another process altogether: a callback
is read by a second set, on the loop of the web app, opened when a channel is first asked for.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from channels import open_provider
from channels.base import Provider
from engine.core.model.instants import Instant
from engine.hearing.attribution import Speaker
from engine.release.playbook import Playbook

CLOSE_AFTER_SECONDS: Final = 60.0
"""Readers of an older release may be at work a little longer."""


class Readers:
    """Opens each channel's provider once a release. Called on one event loop only.

    Args:
        playbook: Gives what is played now.
        directory: The workspace's own folder, which a sandbox may write to.
    """

    def __init__(
        self,
        playbook: Callable[[], Playbook | None],
        *,
        directory: Path,
        now: Callable[[], Instant],
    ) -> None:
        self._playbook = playbook
        self._directory = directory
        self._now = now
        self._opened_for: Playbook | None = None
        self._opened: dict[str, tuple[Provider, Speaker]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, channel: str) -> tuple[Provider, Speaker] | None:
        """The provider of a channel, and in whose name it speaks; None without such a channel.

        Raises:
            UsageError: If it cannot work with its settings (a variable that is not set here).
        """
        playbook = self._playbook()
        if playbook is not self._opened_for:
            self._opened_for, before = playbook, self._opened
            self._opened = {}
            if before:
                closing = _close([provider for provider, _ in before.values()])
                self._closing.add(task := asyncio.create_task(closing))
                task.add_done_callback(self._closing.discard)
        if channel not in self._opened and playbook is not None:
            form = playbook.workspace.settings.channels.get(channel)  # type: ignore[call-overload]
            if form is None:
                return None
            kind = playbook.workspace.channel_kind(channel)
            provider = open_provider(
                kind,
                str(form.provider),
                form.settings,
                directory=self._directory,
                rng=random.SystemRandom(),
                now=self._now,
            )
            self._opened[channel] = (provider, Speaker(channel, kind, provider.name))
        return self._opened.get(channel)


async def _close(providers: list[Provider]) -> None:
    await asyncio.sleep(CLOSE_AFTER_SECONDS)
    for provider in providers:
        await provider.close()
