"""Who asks for flags, and about whom: what every protocol of flags has in common.

Pages ask with a key that anyone can read, so a browser key opens no user's profile without proof
(`userHash`); it then is answered by hash, as any stranger.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from engine.core.errors import InvalidEvent
from engine.core.segments import Segments
from engine.flagging.answering import Answer, answer
from engine.flagging.catalog import Catalog, catalog_of
from engine.flagging.visitors import NO_SEGMENTS, Visitor, asked_of
from engine.intake.validate import check_id, check_value
from engine.web.body import read_body
from engine.web.gathering import Gathering
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.proof import is_proved
from engine.web.services import Services, in_reader
from engine.web.traffic import Traffic

CONTEXT_BYTES_MAX: Final = 40_960
"""What a client may say of its visitor, as JSON: an event's size and an envelope."""
VISITORS_AT_ONCE: Final = 25
"""Looked up in one go: handing each to a thread costs more than the work."""

ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT: Final = {
    **ANY_ORIGIN,
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, if-none-match, x-api-key, cache-control, last-event-id"
    ),
    "Access-Control-Max-Age": "86400",
}

encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def for_pages(
    handler: Callable[[Request], Awaitable[Response]],
    *,
    refused: Callable[[Request, Refusal], Response] = lambda request, refusal: refusal.answer(),
) -> Any:
    """Let the pages of any origin ask, and read why not."""

    async def answered(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        try:
            found = await handler(request)
        except Refusal as refusal:
            found = refused(request, refusal)
        found.headers.update(ANY_ORIGIN)
        return found

    return answered


def caller_of(request: Request, services: Services) -> Caller:
    """Whoever holds the key of Authorization (Basic or Bearer) or X-API-Key, one request poorer.

    Raises:
        Refusal: 401 without a usable key, 429 when it has asked too much.
    """
    caller = services.keys.by_header(request.headers.get("authorization"))
    if caller is None:
        key = request.headers.get("x-api-key", "")
        if not key:
            raise Refusal(401, "unauthorized", "Send a write key as Bearer token or X-API-Key.")
        caller = services.keys.by_text(key)
    services.budget.spend(caller, events=1)
    return caller


def caller_by_path(request: Request, services: Services) -> Caller:
    """Whoever holds the key in the path, which is where GrowthBook's SDKs put it."""
    caller = services.keys.by_text(str(request.path_params["client_key"]))
    services.budget.spend(caller, events=1)
    return caller


def server_only(caller: Caller, what: str) -> None:
    """Refuse browser keys: 403."""
    if caller.kind != "server":
        raise Refusal(403, "forbidden", f"{what} needs a server key, not a browser key.")


async def receive(request: Request, *, bytes_max: int) -> bytes:
    """The body, as `read_body`, with room held for it: bodies must not fill the memory.

    Raises:
        Refusal: As `read_body`; 503 when too much is being received.
    """
    length = request.headers.get("content-length", "").encode()
    traffic: Traffic = request.app.state.traffic
    with traffic.receiving(length, bytes_max=bytes_max):
        return await read_body(request, bytes_max=bytes_max)


async def read_object(request: Request, *, bytes_max: int = CONTEXT_BYTES_MAX) -> dict[str, Any]:
    """The JSON object of the body.

    Raises:
        Refusal: 413 for too much of it, 400 "json" for anything else.
    """
    payload = await receive(request, bytes_max=bytes_max)
    try:
        found = _decode(payload or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "json", f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Refusal(400, "json", f"The body is {type(found).__name__}, not a JSON object.")
    return found


def visitor_of(attributes: Any, caller: Caller, services: Services, *, field: str) -> Visitor:
    """Whom a context is about: `targetingKey`, or `userId` and `anonymousId`; `userHash` proves.

    GrowthBook's own word for the unit, `id`, is read as a targeting key.

    Raises:
        Refusal: 400 "context": it is no object, is nested too deep, or an id is none.
    """
    if attributes is None:
        attributes = {}
    if not isinstance(attributes, dict):
        raise Refusal(400, "context", f"{field}: an object is required", field=field)
    try:
        check_value(attributes, field=field)
        user, anonymous, targeting, id = (
            check_id(attributes.get(name), field=f"{field}.{name}") or ""
            for name in ("userId", "anonymousId", "targetingKey", "id")
        )
    except InvalidEvent as error:
        raise Refusal(400, "context", str(error), field=error.field) from None
    either = targeting or id
    proof = attributes.get("userHash")
    proved = tuple(
        each
        for each in dict.fromkeys((user, either))
        if each
        and (
            caller.kind == "server"
            or (isinstance(proof, str) and is_proved(each, proof, services.settings))
        )
    )
    return Visitor(user, anonymous, either, attributes, proved)


def catalog_now(services: Services) -> Catalog:
    """What is served now; Refusal 503 before the first apply."""
    program = services.program()
    if program is None:
        raise Refusal(503, "not_ready", services.not_ready(), retry_after_seconds=2)
    return catalog_of(program)


class Asking(msgspec.Struct, frozen=True):
    """One visitor and the experiments whose answers are wanted."""

    visitor: Visitor
    names: tuple[str, ...]


async def answers_for(
    request: Request, services: Services, visitor: Visitor, names: Sequence[str]
) -> dict[str, Answer]:
    """What the visitor gets of each of these experiments, from one snapshot of the database."""
    state = request.app.state
    found: Gathering[Asking, dict[str, Answer]] | None = getattr(state, "flag_look_ups", None)
    if found is None:

        async def look_up(group: Sequence[Asking]) -> Sequence[dict[str, Answer]]:
            return await in_reader(services, lambda: read_answers(services, group))

        found = state.flag_look_ups = Gathering(look_up, group_max=VISITORS_AT_ONCE)
    return await found.add(Asking(visitor, tuple(names)))


def read_answers(services: Services, group: Sequence[Asking]) -> list[dict[str, Answer]]:
    """The answers of a group; blocks. Experiments that are gone by now have none."""
    catalog = catalog_now(services)
    segments: Segments = services.segments() or NO_SEGMENTS
    asked_for = {each for it in group for name in it.names for each in catalog.required_by(name)}
    with services.database.read() as connection:
        everyone = asked_of(
            connection,
            [it.visitor for it in group],
            catalog=catalog,
            segments=segments,
            names=sorted(asked_for),
            now=services.clock(),
        )
    return [
        {name: answer(asked, name) for name in it.names if name in catalog.roster.served}
        for asked, it in zip(everyone, group, strict=True)
    ]


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this answer already. Whoever packs answers makes the mark weak."""
    marks = request.headers.get("if-none-match", "").split(",")
    return etag in [it.strip().removeprefix("W/") for it in marks]


def json_answer(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response."""
    return Response(body, status, dict(headers or {}), "application/json")
