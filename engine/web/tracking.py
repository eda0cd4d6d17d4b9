"""The tracking API in the Segment shape: who calls, is there room, what is it, commit, answer.

200 means durable. A single call that is wrong is answered 400 naming the field; a batch whose
envelope parses is answered 200 with a result for each item.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.calls import KINDS, Kind, write_key_of
from engine.core.errors import CommitUnknown, InvalidEvent, Overloaded, StoreError
from engine.prepare import Answer, Prepared, prepare
from engine.web.body import read_body
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.services import Services, committed, services_of
from engine.web.traffic import Traffic

Path: TypeAlias = Kind | Literal["batch"]

ENVELOPE_BYTES_MAX: Final = 8_192

_encode = msgspec.json.Encoder().encode
_JSON: Final = "application/json"
# Any page may hold a browser key, so any origin may call; no cookie is ever read here.
_CORS: Final = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT: Final = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "authorization, content-type, content-encoding",
    "Access-Control-Max-Age": "86400",
}


def _endpoint(kind: Path) -> Callable[[Request], Awaitable[Response]]:
    async def call(request: Request) -> Response:
        services = services_of(request)
        traffic: Traffic = request.app.state.traffic
        try:
            answer = await _take(request, services, traffic, kind)
        except Refusal as refusal:
            answer = refusal.answer()
        if "origin" in request.headers:
            answer.headers.update(_CORS)
        traffic.answers[answer.status_code] += 1
        return answer

    return call


async def preflight(_request: Request) -> Response:
    """What a browser asks before it sends JSON to another origin."""
    return Response(status_code=204, headers=_PREFLIGHT)


ROUTES: Final = [
    Route(f"/v1/{kind}", _endpoint(kind), methods=["POST"]) for kind in (*KINDS, "batch")
] + [Route("/v1/{kind}", preflight, methods=["OPTIONS"])]


async def _take(request: Request, services: Services, traffic: Traffic, kind: Path) -> Response:
    caller = services.keys.by_header(request.headers.get("authorization"))
    # An unknown key is told so before it can make us read or queue anything.
    traffic.admit()
    body = await read_body(request, bytes_max=_bytes_max(services, kind))
    if caller is None:
        caller = services.keys.by_text(write_key_of(body))
    prepared = _prepared(services, caller, body, kind)
    services.budget.spend(caller, events=len(prepared.answers))
    answers = prepared.answers
    if prepared.facts:
        answers = await _durable(request, services, traffic, prepared)
    _count(traffic, answers)
    return _batch_answer(answers) if kind == "batch" else _single_answer(answers[0])


def _bytes_max(services: Services, kind: Path) -> int:
    """A single call may be an event with its envelope: ids, times, names."""
    if kind == "batch":
        return services.settings.batch_bytes_max
    return services.settings.event_bytes_max + ENVELOPE_BYTES_MAX


def _prepared(services: Services, caller: Caller, body: bytes, kind: Path) -> Prepared:
    try:
        return prepare(
            body, kind=kind, terms=services.terms(caller.kind), received_at=services.clock()
        )
    except InvalidEvent as error:
        raise _invalid(str(error), error.field) from None


async def _durable(
    request: Request, services: Services, traffic: Traffic, prepared: Prepared
) -> list[Answer]:
    """Wait until the facts are durable; every trouble means that nothing was acknowledged."""
    number = traffic.begin()
    try:
        return await committed(request, services.accept(prepared))
    except Overloaded as error:
        raise _later("overloaded", str(error), seconds=error.retry_after_seconds) from None
    except CommitUnknown as error:
        raise _later("commit_unknown", str(error)) from None
    except StoreError as error:
        raise _later("store", str(error), seconds=5) from None
    finally:
        traffic.end(number)


def _single_answer(answer: Answer) -> Response:
    if answer.status == "rejected":
        raise _invalid(answer.message, answer.field)
    return Response(_single_body(answer.status, tuple(answer.ignored)), media_type=_JSON)


@lru_cache(maxsize=64)
def _single_body(status: str, ignored: tuple[str, ...]) -> bytes:
    body: dict[str, Any] = {"success": True, "status": status}
    if ignored:
        body["ignored"] = ignored
    return _encode(body)


def _batch_answer(answers: list[Answer]) -> Response:
    statuses = [answer.status for answer in answers]
    body = {
        "success": True,
        "accepted": statuses.count("accepted"),
        "duplicates": statuses.count("duplicate"),
        "rejected": statuses.count("rejected"),
        "results": answers,
    }
    return Response(_encode(body), media_type=_JSON)


def _count(traffic: Traffic, answers: list[Answer]) -> None:
    for answer in answers:
        match answer.status:
            case "accepted":
                traffic.events["accepted"] += 1
            case "duplicate":
                traffic.events["duplicates"] += 1
            case _:
                traffic.events["rejected"] += 1


def _invalid(message: str, field: str) -> Refusal:
    return Refusal(400, "invalid_event", message, field=field)


def _later(code: str, why: str, *, seconds: float = 1) -> Refusal:
    return Refusal(503, code, why, retry_after_seconds=max(1, round(seconds)))
