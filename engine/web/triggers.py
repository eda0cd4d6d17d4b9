"""`POST /v1/campaigns/{name}/trigger`: start a campaign for one person, from your own server."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.errors import InvalidEvent, Overloaded
from engine.intake.triggering import known_answer, read_trigger, refusal_of
from engine.web.body import read_body
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.services import Services, committed, in_reader, services_of

_encode = msgspec.json.Encoder().encode


async def trigger(request: Request) -> Response:
    """Accept a call: 200 means durable, the journey starts within moments. Server keys only."""
    services = services_of(request)
    _server_only(request, services)
    body = await _json(request, services)
    name = str(request.path_params["name"])
    try:
        call = read_trigger(
            name,
            body,
            key=request.headers.get("idempotency-key", ""),
            terms=services.terms("server"),
            received_at=services.clock(),
        )
    except InvalidEvent as error:
        raise Refusal(400, "invalid", str(error), field=error.field) from None
    program = services.program()
    status, why = (503, services.not_ready()) if program is None else refusal_of(name, program)
    if status:
        # A first answer stands, whatever has become of the campaign since.
        done = await in_reader(services, lambda: _answered_before(services, call))
        if done is None:
            raise Refusal(status, "not_found" if status == 404 else "not_possible", why)
    else:
        try:
            done = await committed(request, services.trigger(call))
        except Overloaded as error:
            seconds = max(1, round(error.retry_after_seconds))
            raise Refusal(503, "overloaded", str(error), retry_after_seconds=seconds) from None
    match done.status:
        case "reused":
            raise Refusal(
                422,
                "idempotency_key",
                "This Idempotency-Key was used with another body. Use a new key for a new call.",
            )
        case "unknown":
            raise Refusal(
                404,
                "unknown_person",
                "No profile has this userId or anonymousId. Identify them first, or say who they "
                "are in context.traits.",
                field="userId",
            )
    answer = {"success": True, "status": "accepted", "campaign": name, "trigger": done.trigger}
    headers = {"Idempotent-Replayed": "true"} if done.status == "replayed" else {}
    return Response(_encode(answer), headers=headers, media_type="application/json")


def _answered_before(services: Services, call: Any) -> Any:
    with services.database.read() as connection:
        return known_answer(connection, call)


def _server_only(request: Request, services: Services) -> None:
    caller: Caller | None = services.keys.by_header(request.headers.get("authorization", ""))
    if caller is None:
        raise Refusal(401, "unauthorized", "Give the write key as the user name of Basic auth.")
    if caller.kind != "server":
        raise Refusal(403, "forbidden", "Starting campaigns needs a server key, not a browser key.")
    services.budget.spend(caller, events=1)


async def _json(request: Request, services: Services) -> Any:
    payload = await read_body(request, bytes_max=services.settings.event_bytes_max + 8_192)
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "json", f"The body is not JSON: {error}") from None


ROUTES: Final = [Route("/v1/campaigns/{name}/trigger", trigger, methods=["POST"])]
