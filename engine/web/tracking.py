"""The tracking API in the Segment shape: who calls, is there room, what is it, commit, answer.

200 means durable. A single call that is wrong is answered 400 naming the field; a batch whose
envelope parses is answered 200 with a result for each item. These paths see most requests by far,
so they are answered in front of the framework's routing: routing, request and response objects
cost more than all of our own work on a single event.
"""

from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.core.errors import CommitUnknown, InvalidEvent, Overloaded, StoreError
from engine.intake.calls import KINDS, Kind, write_key_of
from engine.intake.prepare import Answer, Prepared, prepare
from engine.web.body import receive_body
from engine.web.bridge import Bridge
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.services import Services
from engine.web.traffic import Traffic

Path: TypeAlias = Kind | Literal["batch"]

PATHS: Final[dict[str, Path]] = {
    **{f"/v1/{kind}": kind for kind in KINDS},
    "/v1/batch": "batch",
}
ENVELOPE_BYTES_MAX: Final = 8_192
"""What a single call may have around its event: ids, times, names."""

_encode = msgspec.json.Encoder().encode
_JSON: Final = (b"content-type", b"application/json")
# Any page may hold a browser key, so any origin may call; no cookie is ever read here.
_ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
_PREFLIGHT: Final = [
    _ANY_ORIGIN,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]


class Door:
    """The outermost layer of the app: answers the tracking paths, hands on everything else."""

    def __init__(self, app: ASGIApp, *, services: Services, traffic: Traffic) -> None:
        self._app = app
        self._services = services
        self._traffic = traffic
        self._bridge: Bridge | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = PATHS.get(scope["path"]) if scope["type"] == "http" else None
        if kind is None or scope["method"] not in ("POST", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
            return
        told: dict[bytes, bytes] = dict(scope["headers"])
        try:
            status, headers = 200, [_JSON]
            body = await self._take(told, receive, kind)
        except Refusal as refusal:
            answer = refusal.answer()
            status, headers, body = answer.status_code, answer.raw_headers, bytes(answer.body)
        if b"origin" in told:
            headers = [*headers, _ANY_ORIGIN]
        if status == 200:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        self._traffic.answers[status] += 1
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _take(self, told: dict[bytes, bytes], receive: Receive, kind: Path) -> bytes:
        services = self._services
        caller = services.keys.by_header(told.get(b"authorization", b"").decode("latin-1"))
        # An unknown key is told so before it can make us read or queue anything.
        self._traffic.admit()
        settings = services.settings
        bytes_max = (
            settings.batch_bytes_max
            if kind == "batch"
            else settings.event_bytes_max + ENVELOPE_BYTES_MAX
        )
        with self._traffic.receiving(told.get(b"content-length", b""), bytes_max=bytes_max):
            body = await receive_body(
                receive,
                length=told.get(b"content-length", b""),
                encoding=told.get(b"content-encoding", b""),
                bytes_max=bytes_max,
            )
        if caller is None:
            caller = services.keys.by_text(write_key_of(body))
        prepared = _prepared(services, caller, body, kind)
        services.budget.spend(caller, events=len(prepared.answers))
        answers = prepared.answers
        if prepared.facts:
            answers = await self._durable(prepared)
        _count(self._traffic, answers)
        return _batch_body(answers) if kind == "batch" else _single_body(answers[0])

    async def _durable(self, prepared: Prepared) -> list[Answer]:
        """Wait until the facts are committed; any trouble means that nothing was acknowledged."""
        if self._bridge is None:
            self._bridge = Bridge()
        number = self._traffic.begin()
        try:
            return await self._bridge.result(self._services.accept(prepared))
        except Overloaded as error:
            raise _later("overloaded", str(error), seconds=error.retry_after_seconds) from None
        except CommitUnknown as error:
            raise _later("commit_unknown", str(error)) from None
        except StoreError as error:
            raise _later("store", str(error), seconds=5) from None
        finally:
            self._traffic.end(number)


def _prepared(services: Services, caller: Caller, body: bytes, kind: Path) -> Prepared:
    try:
        return prepare(
            body, kind=kind, terms=services.terms(caller.kind), received_at=services.clock()
        )
    except InvalidEvent as error:
        raise _invalid(str(error), error.field) from None


def _single_body(answer: Answer) -> bytes:
    if answer.status == "rejected":
        raise _invalid(answer.message, answer.field)
    return _told(answer.status, tuple(answer.ignored))


@lru_cache(maxsize=64)
def _told(status: str, ignored: tuple[str, ...]) -> bytes:
    body: dict[str, Any] = {"success": True, "status": status}
    if ignored:
        body["ignored"] = ignored
    return _encode(body)


def _batch_body(answers: list[Answer]) -> bytes:
    statuses = [answer.status for answer in answers]
    return _encode(
        {
            "success": True,
            "accepted": statuses.count("accepted"),
            "duplicates": statuses.count("duplicate"),
            "rejected": statuses.count("rejected"),
            "results": answers,
        }
    )


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
