"""OpenFeature's Remote Evaluation Protocol 0.3: one flag, all flags, and word of a change.

https://openfeature.dev/docs/reference/other-technologies/ofrep/openapi/. Clients are stricter than
the protocol: the Python provider (0.3.0) needs `variant` and `errorDetails` always, and takes 1 for
no float. Errors are problem details (RFC 9457) that also say what OFREP wants said.
"""

from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.flagging.answering import Answer
from engine.web.flags_door import (
    answers_for,
    caller_of,
    catalog_now,
    encode,
    for_pages,
    is_known,
    json_answer,
    read_object,
    visitor_of,
)
from engine.web.flags_stream import Pulse, stream, stream_token
from engine.web.problem import Refusal
from engine.web.services import services_of

INACTIVITY_SECONDS: Final = 120
"""After which a hidden page lets go of its stream; clients come back by themselves."""
EVENTS: Final = "/ofrep/v1/events"

_CODES: Final = {"json": "PARSE_ERROR", "context": "INVALID_CONTEXT", "not_found": "FLAG_NOT_FOUND"}
_NOBODY: Final = (
    "The context names nobody. Give a targetingKey, or the userId or anonymousId of the visitor."
)


class Ungiven(Refusal):
    """There is no unit to assign."""

    def __init__(self) -> None:
        super().__init__(400, "TARGETING_KEY_MISSING", _NOBODY, field="context.targetingKey")


def _refused(request: Request, refusal: Refusal) -> Response:
    """A problem as OFREP words it, too."""
    told = msgspec.json.decode(bytes(refusal.answer().body))
    told["errorCode"] = _CODES.get(
        refusal.code, refusal.code if isinstance(refusal, Ungiven) else "GENERAL"
    )
    told["errorDetails"] = refusal.detail
    key = request.path_params.get("key")
    if key is not None:
        told["key"] = key
    found = refusal.answer()
    headers = {
        name: found.headers[name]
        for name in ("retry-after", "www-authenticate")
        if name in found.headers
    }
    return json_answer(encode(told), status=refusal.status, headers=headers)


async def one_flag(request: Request) -> Response:
    """`POST /ofrep/v1/evaluate/flags/{key}`."""
    services = services_of(request)
    caller = caller_of(request, services)
    body = await read_object(request)
    visitor = visitor_of(body.get("context"), caller, services, field="context")
    key = str(request.path_params["key"])
    await Pulse.of(request, services).reached(request.query_params.get("flagConfigEtag", ""))
    catalog = catalog_now(services)
    if key not in catalog.roster.served:
        raise _unknown(key, is_journeys=key in catalog.roster.arms)
    found = (await answers_for(request, services, visitor, (key,))).get(key)
    if found is None:
        raise _unknown(key, is_journeys=False)
    if found.is_missing and visitor.is_nobody:
        raise Ungiven()
    return json_answer(encode(_told(key, found)))


async def all_flags(request: Request) -> Response:
    """`POST /ofrep/v1/evaluate/flags`: every served experiment; 304 if nothing is different."""
    services = services_of(request)
    caller = caller_of(request, services)
    body = await read_object(request)
    visitor = visitor_of(body.get("context"), caller, services, field="context")
    pulse = Pulse.of(request, services)
    await pulse.reached(request.query_params.get("flagConfigEtag", ""))
    catalog = catalog_now(services)
    found = await answers_for(request, services, visitor, catalog.names)
    flags = [
        _failed(name) if it.is_missing and visitor.is_nobody else _told(name, it)
        for name, it in found.items()
    ]
    # Where a proxy gives us a path of our own, streams have it too.
    root = urlsplit(services.settings.public_url).path.rstrip("/")
    uri = f"{root}{EVENTS}?token={stream_token(services)}"
    told = encode(
        {
            "flags": flags,
            "metadata": {"config": catalog.etag},
            "eventStreams": [
                {
                    "type": "sse",
                    "endpoint": {"requestUri": uri},
                    "inactivityDelaySec": INACTIVITY_SECONDS,
                }
            ],
        }
    )
    etag = f'"{sha256(told).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Access-Control-Expose-Headers": "ETag, Retry-After",
        "Cache-Control": "private, no-cache",
    }
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return json_answer(told, headers=headers)


async def events(request: Request) -> Response:
    """`GET /ofrep/v1/events`: says `refetchEvaluation` whenever what is served has changed.

    No key: browsers can send none with an EventSource. The token comes with every bulk answer.
    """
    services = services_of(request)
    if request.query_params.get("token", "") != stream_token(services):
        raise Refusal(
            401, "unauthorized", "token: take the address of eventStreams in a bulk answer."
        )

    def changed(etag: str) -> bytes:
        told = encode({"type": "refetchEvaluation", "etag": etag})
        return b"id: %s\ndata: %s\n\n" % (etag.encode(), told)

    return stream(request, services, changed)


def _told(key: str, it: Answer) -> dict[str, Any]:
    return {
        "key": key,
        "value": it.value,
        "reason": it.reason,
        "variant": it.variant,
        "metadata": it.metadata,
    }


def _failed(key: str) -> dict[str, Any]:
    return {"key": key, "errorCode": "TARGETING_KEY_MISSING", "errorDetails": _NOBODY}


def _unknown(key: str, *, is_journeys: bool) -> Refusal:
    why = (
        f"{key!r} is assigned where its journey has the step, and has no value to ask for."
        if is_journeys
        else f"There is no served experiment {key[:100]!r}; give its variants values and apply it."
    )
    return Refusal(404, "not_found", why, field="key")


ROUTES: Final = [
    Route(path, for_pages(handler, refused=_refused), methods=[method, "OPTIONS"])
    for path, handler, method in (
        ("/ofrep/v1/evaluate/flags/{key}", one_flag, "POST"),
        ("/ofrep/v1/evaluate/flags", all_flags, "POST"),
        (EVENTS, events, "GET"),
    )
]
