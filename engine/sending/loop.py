"""The sending loop of a running engine: every lane of every channel, for as long as it is on.

Lanes run side by side and share nothing but their channel's pace. Within a lane several deliveries
may be under way, so that a recipient whose server hangs holds up no other.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from engine.core.errors import NotOwner
from engine.core.model.instants import SECOND, Instant
from engine.release.playbook import Playbook
from engine.sending.lanes import LANES
from engine.sending.outbox import LANE_WIDTH, Outbox

log = logging.getLogger("antiphon.sending")

DELIVERIES: Final = 4
"""Deliveries of one lane under way at once."""
TROUBLE_SECONDS: Final = 0.5
TROUBLE_SECONDS_MAX: Final = 30.0
REST_SECONDS_MAX: Final = 1.0
"""A resting lane looks again this often: a clock may have been set meanwhile."""


async def keep_sending(
    outbox: Outbox,
    playbook: Playbook,
    *,
    clock: Callable[[], Instant],
    is_on: Callable[[], bool],
    may_send: Callable[[], bool],
    idle_seconds: float,
) -> None:
    """Send until `is_on` says no; what is under way then is finished.

    Args:
        may_send: Asked before anything new begins; False pauses, as while the clock is unsteady.
    Raises:
        NotOwner: If another engine has taken over.
    """
    loops = [
        asyncio.ensure_future(
            _Lane(outbox, playbook, channel, lane, clock, idle_seconds).run(is_on, may_send)
        )
        for channel in outbox.channels
        for lane in LANES
    ]
    try:
        await asyncio.gather(*loops)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


class _Lane:
    def __init__(
        self,
        outbox: Outbox,
        playbook: Playbook,
        channel: str,
        lane: int,
        clock: Callable[[], Instant],
        idle_seconds: float,
    ) -> None:
        self._outbox = outbox
        self._playbook = playbook
        self._channel = channel
        self._lane = lane
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._width = asyncio.Semaphore(LANE_WIDTH)
        self._under_way: set[asyncio.Task[object]] = set()

    async def run(self, is_on: Callable[[], bool], may_send: Callable[[], bool]) -> None:
        """One channel's trouble must not stop the others: it is logged and waited out."""
        pause = TROUBLE_SECONDS
        try:
            while is_on():
                try:
                    rest = await self._begin() if may_send() else self._idle_seconds
                    await self._wait(rest)
                    pause = TROUBLE_SECONDS
                except NotOwner:
                    raise
                except Exception:
                    word = LANES[self._lane]
                    log.exception(
                        "sending %s by %s failed, next try in %.1f s", word, self._channel, pause
                    )
                    await asyncio.sleep(pause)
                    pause = min(TROUBLE_SECONDS_MAX, pause * 2)
        finally:
            with suppress(Exception):
                await asyncio.gather(*self._under_way)

    async def _begin(self) -> float:
        """Begin one delivery; how many seconds to wait before the next, 0 where more is due."""
        now = self._clock()
        ready, done = await self._outbox.begin(self._playbook, self._channel, self._lane, now=now)
        if ready:
            delivery = self._outbox.deliver(
                self._playbook, self._channel, self._lane, ready, now=now, width=self._width
            )
            self._under_way.add(asyncio.ensure_future(delivery))
            return 0.0
        if done.n_held:
            return 0.0
        if done.opens_at is not None and done.opens_at > now:
            return min(REST_SECONDS_MAX, max(self._idle_seconds, (done.opens_at - now) / SECOND))
        return self._idle_seconds

    async def _wait(self, seconds: float) -> None:
        """Wait; while the lane is full also for one delivery. Raises what a delivery raised."""
        if self._under_way and len(self._under_way) >= DELIVERIES:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        elif seconds:
            await asyncio.sleep(seconds)
        ended = {it for it in self._under_way if it.done()}
        self._under_way -= ended
        for it in ended:
            it.result()
