"""Web messages for the pages of the operator: what a visitor may be shown, and what they did.

A browser key is public, so it opens only what its holder must know besides: an anonymous id, which
is random and stands on one device, or a user id with its proof. What visitors do is reported by
the message's own token, which nobody can make for another's.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.delivery import DeliveryEvent, EventKind
from channels.tokens import make_token, read_token
from engine.core.clocktime import iso
from engine.core.errors import InvalidEvent
from engine.core.model.instants import NEVER, SECOND
from engine.hearing.hear import note
from engine.intake.validate import check_id
from engine.placements import Shown, Visitor, shown_to
from engine.store.connection import Connection
from engine.web.body import read_body
from engine.web.gathering import Gathering
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.proof import is_proved
from engine.web.services import Services, committed, in_reader, services_of

EVENTS_MAX: Final = 100
EVENTS_BYTES_MAX: Final = 32_768
VISITORS_AT_ONCE: Final = 25
"""Looked up in one go: handing each to a thread costs more than the work."""

_encode = msgspec.json.Encoder().encode
_ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT: Final = {
    **_ANY_ORIGIN,
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type, if-none-match",
    "Access-Control-Max-Age": "86400",
}


def _for_pages(answer: Callable[[Request], Awaitable[Response]]) -> Any:
    """Let the pages of any origin ask, and read why not."""

    async def answered(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        try:
            return await answer(request)
        except Refusal as refusal:
            refused = refusal.answer()
            refused.headers.update(_ANY_ORIGIN)
            return refused

    return answered


@_for_pages
async def standing(request: Request) -> Response:
    """`GET /v1/placements`: what this visitor may be shown, best first; 304 if it is the same."""
    services = services_of(request)
    caller = _caller(request, services)
    visitor = _visitor(request, services, caller)
    found = await _look_ups(request, services).add(visitor)
    wanted = request.query_params.get("placement", "")
    body = _encode(
        {
            "placements": [
                _told(it, services, caller)
                for it in found
                if not wanted or it.kept.placement == wanted
            ]
        }
    )
    mark = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        **_ANY_ORIGIN,
        "Access-Control-Expose-Headers": "ETag",
        # One person's: their own browser may keep it, and asks each time whether it still holds.
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
        "ETag": mark,
    }
    # Whoever packs answers on the way makes the mark a weak one.
    known = request.headers.get("if-none-match", "").split(",")
    if mark in [it.strip().removeprefix("W/") for it in known]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


@_for_pages
async def reported(request: Request) -> Response:
    """`POST /v1/placements/events`: what the visitor did. 200 means committed; twice is once."""
    services = services_of(request)
    is_single, events = _events(await read_body(request, bytes_max=EVENTS_BYTES_MAX))
    now = services.clock()
    reports = [_report(it, services, now) for it in events]
    if is_single and reports[0] is None:
        raise Refusal(400, "invalid", f"token: {_FOREIGN}", field="token")
    true = [it for it in reports if it is not None]
    if true:
        await _notes(request, services).add(true)
    results = [_ACCEPTED if it is not None else _REJECTED for it in reports]
    answer = {"success": True, **(results[0] if is_single else {"results": results})}
    return Response(_encode(answer), headers=_ANY_ORIGIN, media_type="application/json")


ROUTES: Final = [
    Route("/v1/placements", standing, methods=["GET", "OPTIONS"]),
    Route("/v1/placements/events", reported, methods=["POST", "OPTIONS"]),
]


# --- who asks, and about whom -------------------------------------------------------------------


def _caller(request: Request, services: Services) -> Caller:
    caller = services.keys.by_header(request.headers.get("authorization"))
    if caller is None:
        key = request.query_params.get("writeKey", "")
        if not key:
            raise Refusal(401, "unauthorized", "Send a write key as the user name of Basic auth.")
        caller = services.keys.by_text(key)
    return caller


def _visitor(request: Request, services: Services, caller: Caller) -> Visitor:
    told = request.query_params
    try:
        user, anonymous, either = (
            check_id(told.get(it), field=it) for it in ("userId", "anonymousId", "profile")
        )
    except InvalidEvent as error:
        raise Refusal(400, "invalid", str(error), field=error.field) from None
    if user:
        if caller.kind != "server" and not is_proved(
            user, told.get("userHash", ""), services.settings
        ):
            raise Refusal(
                403,
                "forbidden",
                "A browser key asks for a userId with its userHash: HMAC-SHA256 of the id under "
                "the key of `antiphon keys visitor`, made on your server. Without one ask for the "
                "anonymousId.",
                field="userHash",
            )
        return Visitor(user, ("user",))
    if anonymous:
        return Visitor(anonymous, ("anonymous",))
    if either:  # as 0.2 had it
        return Visitor(either, ("user", "anonymous") if caller.kind == "server" else ("anonymous",))
    raise Refusal(400, "invalid", "Give ?anonymousId= or ?userId= an id.", field="anonymousId")


def _look_ups(request: Request, services: Services) -> Gathering[Visitor, list[Shown]]:
    state = request.app.state
    found: Gathering[Visitor, list[Shown]] | None = getattr(state, "visitors", None)
    if found is None:

        async def look_up(visitors: Sequence[Visitor]) -> Sequence[list[Shown]]:
            return await in_reader(services, lambda: _read(services, visitors))

        found = state.visitors = Gathering(look_up, group_max=VISITORS_AT_ONCE)
    return found


def _read(services: Services, visitors: Sequence[Visitor]) -> list[list[Shown]]:
    program, vault = services.program(), services.vault
    if program is None or vault is None:
        return [[] for _ in visitors]  # nothing was ever applied, so nothing was ever sent
    with services.database.read() as connection:
        return shown_to(connection, visitors, program=program, vault=vault, now=services.clock())


def _told(it: Shown, services: Services, caller: Caller) -> dict[str, Any]:
    """A message as pages get it; what the house calls things only a server key is told."""
    kept = it.kept
    key_id = next(iter(services.link_keys))  # the first signs
    told = {
        "id": str(kept.message),
        "placement": kept.placement,
        "kind": kept.kind,
        "priority": kept.priority,
        "html": it.html,
        "at": iso(kept.at),
        "expires_at": None if kept.expires_at >= NEVER else iso(kept.expires_at),
        "token": make_token(
            "placement", kept.message, key=services.link_keys[key_id], key_id=key_id
        ),
    }
    if caller.kind == "server":
        names = ("campaign", "step", "variant", "topic", "template")
        told |= {name: getattr(kept, name) for name in names}
    return told


# --- what they did ------------------------------------------------------------------------------


class Told(Struct, frozen=True):
    """One report of a page."""

    token: str
    event: Literal["displayed", "clicked", "dismissed"]


class _Batch(Struct, frozen=True):
    events: list[Told]


_FOREIGN: Final = "this is no token of GET /v1/placements"
_ACCEPTED: Final = {"status": "accepted"}
_REJECTED: Final = {"status": "rejected", "field": "token", "message": _FOREIGN}
_batch: Final = msgspec.json.Decoder(_Batch).decode
_single: Final = msgspec.json.Decoder(Told).decode
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _events(body: bytes) -> tuple[bool, list[Told]]:
    """Whether it is one event alone, and the events."""
    try:
        if "events" not in _object(body):
            return True, [_single(body)]
        events = _batch(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(
            400,
            "invalid",
            f'The body is {{"token": …, "event": "displayed", "clicked" or "dismissed"}}, or '
            f'{{"events": [those]}}: {error}.',
        ) from None
    if len(events) > EVENTS_MAX:
        raise Refusal(
            400, "invalid", f"events: {len(events):,} are too many; at most {EVENTS_MAX}",
            field="events",
        )  # fmt: skip
    return False, events


def _report(it: Told, services: Services, now: int) -> DeliveryEvent | None:
    """What a page tells, if it holds the message's own token."""
    try:
        message = read_token(it.token, kind="placement", keys=services.link_keys).message
    except ValueError:
        return None
    kind: EventKind = it.event
    # Shown and closed are said once; people click twice, but not within a second.
    event_id = f"{kind}:{message}:placement"
    if kind == "clicked":
        event_id = f"{event_id}:{now // SECOND}"
    return DeliveryEvent(kind=kind, message=message, event_id=event_id, at=now)


def _notes(request: Request, services: Services) -> Gathering[list[DeliveryEvent], None]:
    """What many visitors do is committed together."""
    state = request.app.state
    found: Gathering[list[DeliveryEvent], None] | None = getattr(state, "visits", None)
    if found is None:

        async def commit(visits: Sequence[list[DeliveryEvent]]) -> Sequence[None]:
            reports = [it for visit in visits for it in visit]

            def change(connection: Connection) -> None:
                note(connection, reports, log=services.log, now=services.clock())

            await committed(request, services.write(change))
            return [None] * len(visits)

        found = state.visits = Gathering(commit)
    return found
