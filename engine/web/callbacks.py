"""What providers tell us later: `POST /webhooks/{channel}`, by the channel's name.

Signature first, then the commit, then the answer: a provider repeats what it got no 2xx for, and
stops repeating what it did. Callbacks pass the events' admission control, since they may hold a
"no" that nobody says twice; what they may take of the memory is bounded here.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.base import Provider
from channels.callbacks import Callback, Echo
from engine.core.errors import CallbackRefused, DiskFull, ProviderError, StoreError, UsageError
from engine.hearing.attribution import Speaker
from engine.hearing.hear import Heard, hear
from engine.store.connection import Connection
from engine.web.body import receive_body
from engine.web.bridge import Bridge
from engine.web.gathering import Gathering
from engine.web.problem import Refusal
from engine.web.services import Services, services_of

log = logging.getLogger("antiphon.callbacks")

BODY_BYTES_MAX: Final = 1_000_000
BODIES_BYTES_MAX: Final = 32_000_000
"""Of bodies that are being received, verified and written at once."""
RECEIVE_SECONDS_MAX: Final = 10.0
READ_SECONDS_MAX: Final = 15.0
"""Reading may fetch a certificate."""
RETRY_SECONDS: Final = 5
OPT_OUTS: Final = frozenset({"unsubscribed", "complained", "inbound"})

_OUTCOMES: Final = {
    400: "unreadable", 403: "forged", 404: "no channel", 405: "method", 408: "slow",
    413: "too large", 503: "later",
}  # fmt: skip


class Ears:
    """What the app has heard: the commits under way, and the counts that /metrics shows."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bridge: Bridge | None = None
        self._gathering: Gathering[Heard, None] = Gathering(self._commit)
        self._n_bytes = 0
        self.channels: set[str] = set()
        self.answers: Counter[tuple[str, str]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body exactly as it came: signatures are over it. Its room is held until the end of
        the block, since verifying may wait for a certificate and the commit for the disk.

        Raises:
            Refusal: 413 when it is too large, 503 when too much is coming in, 408 when it takes
                too long.
        """
        length = request.headers.get("content-length", "")
        n_bytes = min(int(length), BODY_BYTES_MAX) if length.isdecimal() else BODY_BYTES_MAX
        if self._n_bytes and self._n_bytes + n_bytes > BODIES_BYTES_MAX:
            raise _later("too many callbacks are coming in")
        self._n_bytes += n_bytes
        try:
            body = await _received(request, length)
            self._n_bytes += len(body) - n_bytes
            n_bytes = len(body)
            yield body
        finally:
            self._n_bytes -= n_bytes

    async def heard(self, what: Heard) -> None:
        """Wait until it is durable."""
        if what.events:
            await self._gathering.add(what)

    async def _commit(self, group: Sequence[Heard]) -> Sequence[None]:
        services = self._services

        def change(connection: Connection) -> Counter[tuple[str, str]]:
            return hear(
                connection,
                group,
                address_hash=services.address_hash,
                log=services.log,
                now=services.clock(),
            )

        if self._bridge is None:
            self._bridge = Bridge()
        try:
            counts = await self._bridge.result(services.write(change))
        except DiskFull:
            # The room that is kept for opt-outs is for them alone: a group is tried one by one.
            is_opt_out = any(it.kind in OPT_OUTS for heard in group for it in heard.events)
            if len(group) > 1 or not is_opt_out or not services.make_room():
                raise
            counts = await self._bridge.result(services.write(change))
        self.events += counts
        return [None] * len(group)


async def callback(request: Request) -> Response:
    """`POST /webhooks/{channel}` (some providers use GET): believe, commit, answer."""
    ears: Ears = request.app.state.ears
    channel = request.path_params["channel"]
    try:
        answer, outcome = await _answered(request, ears, channel), "taken"
    except Refusal as refusal:
        answer = refusal.answer()
        outcome = _OUTCOMES.get(refusal.status, str(refusal.status))
    # Anybody may invent names of channels; a metric must not grow by them.
    ears.answers[channel if channel in ears.channels else "", outcome] += 1
    return answer


ROUTES: Final = [Route("/webhooks/{channel}", callback, methods=["GET", "POST"])]


async def _answered(request: Request, ears: Ears, channel: str) -> Response:
    services = services_of(request)
    if request.method == "HEAD":
        raise Refusal(405, "method", "Callbacks come by POST or GET.")
    provider, speaker = _reader(services, channel)
    ears.channels.add(channel)
    async with ears.body(request) as body:
        echo = await _read(provider, _callback(request, services, body))
        await _heard(ears, Heard(speaker, echo.events))
    reply = echo.reply
    return Response(reply.body, reply.status, media_type=reply.content_type)


async def _received(request: Request, length: str) -> bytes:
    try:
        async with asyncio.timeout(RECEIVE_SECONDS_MAX):
            return await receive_body(
                request.receive,
                length=length.encode(),
                encoding=b"",
                bytes_max=BODY_BYTES_MAX,
            )
    except TimeoutError:
        raise Refusal(408, "slow", "The body did not come in time. Send it again.") from None


async def _heard(ears: Ears, what: Heard) -> None:
    try:
        await ears.heard(what)
    except StoreError as error:
        raise _later(str(error)) from error
    except Exception as error:
        log.exception("a callback of %s cannot be written", what.speaker.channel)
        raise _later(f"it cannot be written: {type(error).__name__}") from error


def _reader(services: Services, channel: str) -> tuple[Provider, Speaker]:
    if services.readers is None or (why := services.not_ready()):
        raise _later(why if services.readers is not None else "nobody reads callbacks here")
    try:
        found = services.readers.of(channel)
    except UsageError as error:
        log.error("callbacks of %s cannot be read: %s", channel, error)
        raise _later(
            "this channel's provider cannot be opened; the server's log says why"
        ) from None
    if found is None or found[0].capabilities.webhook == "none":
        raise Refusal(
            404,
            "no_channel",
            f"No channel takes callbacks at {_shown(channel)}. The last part is the "
            "name of a channel in antiphon.yaml whose provider sends them.",
        )
    return found


def _shown(channel: str) -> str:
    """The path as an error may show it."""
    return f"/webhooks/{channel[:40]}"


async def _read(provider: Provider, told: Callback) -> Echo:
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            return await provider.read_callback(told)
    except CallbackRefused as error:
        code = "forged" if error.status == 403 else "unreadable"
        raise Refusal(error.status, code, str(error)) from None
    except (ProviderError, TimeoutError) as error:
        raise _later(f"it could not be verified now: {error}") from None
    except Exception as error:
        log.exception("a callback of %s could not be read", provider.name)
        raise _later(f"it could not be read: {type(error).__name__}") from error


def _callback(request: Request, services: Services, body: bytes) -> Callback:
    """The request as the provider signed it: our own public address, whatever Host says."""
    scope = request.scope
    path = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Callback(
        url=services.public_url.rstrip("/") + path + (f"?{query}" if query else ""),
        headers=headers,
        body=body,
        method=request.method,
    )


def _later(why: str) -> Refusal:
    return Refusal(
        503,
        "later",
        f"Not taken: {why}. Send the same again in {RETRY_SECONDS} s.",
        retry_after_seconds=RETRY_SECONDS,
    )
