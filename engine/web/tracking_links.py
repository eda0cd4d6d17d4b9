"""Clicks and opens: the links and the picture in messages by which we know that they were read.

Scanners and relays of mail readers follow them too: `machines` decides, here it is only asked.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.delivery import DeliveryEvent
from channels.tokens import TRAP, Token
from engine.core.errors import StoreError
from engine.core.model.instants import SECOND, Instant
from engine.hearing.clicks import HOLD, follow, tell
from engine.hearing.hear import note
from engine.hearing.machines import Click, sign_of
from engine.store.connection import Connection
from engine.web.gathering import Gathering
from engine.web.links import invalid, token_of
from engine.web.services import Services, committed, in_reader, services_of

log = logging.getLogger("antiphon.web")

LOOK_UPS_MAX: Final = 25
PAUSE_SECONDS: Final = 0.1

# 43 bytes: the smallest GIF that every mail reader takes, one transparent pixel.
PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


async def clicked(request: Request) -> Response:
    """`GET /t/c/{token}`: note the click and go where the link leads.

    The destination is looked up by message and position; a bad token leads nowhere, and so does
    the link that only machines find.
    """
    services = services_of(request)
    token = token_of(request, services, "click")
    if token is None:
        return invalid()
    destination = None
    if token.index != TRAP:
        destination = await _destinations(request, services).add(token)
        if destination is None or not destination.startswith(("https://", "http://")):
            return invalid()
    click = Click(token.index, services.clock(), _sign(request))
    await _clicks(request, services).add((token.message, click))
    _telling(request, services).wake()
    if destination is None:
        return invalid()
    return Response(status_code=302, headers={**_NO_STORE, "Location": destination})


async def opened(request: Request) -> Response:
    """`GET /t/o/{token}`: a pixel. It is given whatever happens: a broken image helps nobody."""
    services = services_of(request)
    token = token_of(request, services, "open")
    if token is not None:
        now, sign = services.clock(), _sign(request)
        # Many readers fetch a picture twice; within a second it is one look.
        event_id = f"opened:{token.message}:0:{int(bool(sign))}:{now // SECOND}"
        report = DeliveryEvent(
            kind="opened",
            message=token.message,
            event_id=event_id,
            at=now,
            is_machine=bool(sign),
            reason=sign,
        )
        await _opens(request, services).add(report)
    return Response(PIXEL, media_type="image/gif", headers=_NO_STORE)


ROUTES: Final = [
    Route("/t/c/{token}", clicked, methods=["GET"]),
    Route("/t/o/{token}", opened, methods=["GET"]),
]


class Telling:
    """Tells clicks once they have waited long enough: one task, as long as any wait."""

    def __init__(self, request: Request, services: Services) -> None:
        self._request = request
        self._services = services
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There is a click that will want telling."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        seconds = HOLD / SECOND
        while True:
            await asyncio.sleep(seconds)
            try:
                due = await committed(self._request, self._services.write(self._tell))
            except StoreError as error:
                log.warning("clicks are told later: %s", error)
                continue
            if due is None:
                return
            seconds = max((due - self._services.clock()) / SECOND, PAUSE_SECONDS)

    def _tell(self, connection: Connection) -> Instant | None:
        return tell(connection, log=self._services.log, now=self._services.clock())


def _sign(request: Request) -> str:
    return sign_of(request.method, request.headers.get("user-agent", ""))


def _telling(request: Request, services: Services) -> Telling:
    state = request.app.state
    found: Telling | None = getattr(state, "telling", None)
    if found is None:
        found = state.telling = Telling(request, services)
    return found


def _clicks(request: Request, services: Services) -> Gathering[tuple[int, Click], None]:
    """Clicks of many people are committed together."""
    state = request.app.state
    found: Gathering[tuple[int, Click], None] | None = getattr(state, "clicks", None)
    if found is None:

        async def commit(clicks: Sequence[tuple[int, Click]]) -> Sequence[None]:
            await committed(request, services.write(lambda connection: follow(connection, clicks)))
            return [None] * len(clicks)

        found = state.clicks = Gathering(commit)
    return found


def _opens(request: Request, services: Services) -> Gathering[DeliveryEvent, None]:
    """And so are their opens."""
    state = request.app.state
    found: Gathering[DeliveryEvent, None] | None = getattr(state, "opens", None)
    if found is None:

        async def commit(reports: Sequence[DeliveryEvent]) -> Sequence[None]:
            def change(connection: Connection) -> None:
                note(connection, reports, log=services.log, now=services.clock())

            await committed(request, services.write(change))
            return [None] * len(reports)

        found = state.opens = Gathering(commit)
    return found


def _destinations(request: Request, services: Services) -> Gathering[Token, str | None]:
    """Links are looked up by a few at a time: handing each to a thread costs more than the work."""
    state = request.app.state
    found: Gathering[Token, str | None] | None = getattr(state, "destinations", None)
    if found is None:

        async def look_up(tokens: Sequence[Token]) -> Sequence[str | None]:
            return await in_reader(
                services, lambda: [services.destination(it.message, it.index) for it in tokens]
            )

        found = state.destinations = Gathering(look_up, group_max=LOOK_UPS_MAX)
    return found
