"""Word of a change, pushed: one look at what is served for all who listen, however many they are.

A stream carries no values, only that there is something to ask for, so it costs a hanging
connection and a comment now and then. It ends with the server, or after an hour: clients return.
"""

import asyncio
import hmac
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from engine.flagging.catalog import catalog_of
from engine.settings import visitor_key
from engine.web.problem import Refusal
from engine.web.services import Services

LOOK_SECONDS: Final = 0.2
KEEP_ALIVE_SECONDS: Final = 15.0
STREAM_SECONDS_MAX: Final = 3_600.0
REACH_SECONDS_MAX: Final = 2.5
"""How long an answer waits for a release that the client has heard of and this process has not."""
MARKS_KEPT: Final = 16

_HEADERS: Final = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep it back: https://nginx.org/r/proxy_buffering
}


class Pulse:
    """What is served, watched as long as anybody listens. One per event loop.

    Attributes:
        etag: The mark of what is served now, "" before the first apply.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.n_streams = 0
        self._marks: deque[str] = deque(maxlen=MARKS_KEPT)
        self.etag = ""
        self.look()

    @staticmethod
    def of(request: Request, services: Services) -> "Pulse":
        """The app's own."""
        state = request.app.state
        found: Pulse | None = getattr(state, "pulse", None)
        if found is None:
            found = state.pulse = Pulse(services)
        return found

    def look(self) -> None:
        """See what is served, and wake whoever waits for another."""
        program = self._services.program()
        etag = "" if program is None else catalog_of(program).etag
        if etag != self.etag or self._services.is_stopping():
            self.etag = etag
            self._marks.append(etag)
            self._changed.set()
            self._changed = asyncio.Event()

    async def changed(self, *, seconds_max: float) -> None:
        """Return when it may have changed, or time is up."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        event = self._changed
        try:
            await asyncio.wait_for(event.wait(), seconds_max)
        except TimeoutError:
            return

    async def reached(self, etag: str) -> None:
        """Wait a moment for a mark that another process has announced."""
        if not etag:
            return
        self.look()
        loop = asyncio.get_running_loop()
        until = loop.time() + REACH_SECONDS_MAX
        self.n_streams += 1
        try:
            while etag not in self._marks and (left := until - loop.time()) > 0:
                await self.changed(seconds_max=left)
        finally:
            self.n_streams -= 1

    async def _watch(self) -> None:
        while self.n_streams:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)


def stream(
    request: Request,
    services: Services,
    changed: Callable[[str], bytes],
    *,
    is_welcome: Callable[[], bool] = lambda: True,
) -> Response:
    """An event stream that says `changed(etag)` after each change, and whatever else keeps it open.

    Args:
        is_welcome: Asked at every keep-alive: a key may have been revoked.
    Raises:
        Refusal: 503 when half of all connections are streams.
    """
    pulse = Pulse.of(request, services)
    if pulse.n_streams >= max(1, services.settings.connections_max // 2):
        raise Refusal(
            503, "too_many_streams", "Too many streams are open; poll instead, with If-None-Match.",
            retry_after_seconds=60,
        )  # fmt: skip
    pulse.look()
    # A client that comes back says what it has heard last; what changed meanwhile it is told.
    heard = request.headers.get("last-event-id", "") or pulse.etag

    async def said() -> AsyncIterator[bytes]:
        known = heard
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + STREAM_SECONDS_MAX
        spoke_at = loop.time()
        pulse.n_streams += 1
        try:
            yield b"retry: 2000\n: listening\n\n"
            while loop.time() < ends_at and not services.is_stopping():
                if pulse.etag != known:
                    known, spoke_at = pulse.etag, loop.time()
                    yield changed(known)
                elif loop.time() - spoke_at >= KEEP_ALIVE_SECONDS:
                    if not is_welcome():
                        return
                    spoke_at = loop.time()
                    yield b": still here\n\n"
                left = spoke_at + KEEP_ALIVE_SECONDS - loop.time()
                await pulse.changed(seconds_max=max(0.01, left))
        finally:
            pulse.n_streams -= 1

    return StreamingResponse(said(), headers=_HEADERS, media_type="text/event-stream")


def stream_token(services: Services) -> str:
    """What opens the stream of changes: it shows that there was one, and nothing of what it is."""
    return hmac.digest(
        visitor_key(services.settings).encode(), b"antiphon flag events 1", "sha256"
    ).hex()[:32]
