"""Reading people over the API: one profile."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.clocktime import iso
from engine.core.model.instants import NEVER
from engine.membership import with_asked
from engine.reading import ProfilePage, find_profile, read_profile
from engine.steady import present
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.services import Services, in_reader, services_of

_encode = msgspec.json.Encoder().encode


async def profile(request: Request) -> Response:
    """`GET /v1/profiles/{id}`: server keys only. Personal data is masked."""
    services = services_of(request)
    caller = _caller(request, services)
    if caller.kind != "server":
        raise Refusal(403, "forbidden", "Reading profiles needs a server key, not a browser key.")
    id = request.path_params["id"]
    program = services.program()
    segments = tuple(program.segments) if program else ()

    def read() -> ProfilePage | None:
        with services.database.read() as connection:
            found = find_profile(connection, id, kinds=("user", "anonymous"))
            if found is None:
                return None
            page = read_profile(connection, found, segments=segments, with_timeline=False)
            assert page is not None
            return with_asked(connection, page, services.segments(), now=present())

    it = await in_reader(services, read)
    if it is None:
        raise Refusal(404, "not_found", "No profile has this user id or anonymous id.", field="id")
    return Response(_encode(_profile_json(it)), media_type="application/json")


ROUTES: Final = [
    Route("/v1/profiles/{id:path}", profile, methods=["GET"]),
]


def _caller(request: Request, services: Services) -> Caller:
    caller = services.keys.by_header(request.headers.get("authorization"))
    if caller is None:
        key = request.query_params.get("writeKey", "")
        if not key:
            raise Refusal(401, "unauthorized", "Send a write key as the user name of Basic auth.")
        caller = services.keys.by_text(key)
    return caller


def _profile_json(it: ProfilePage) -> dict[str, Any]:
    return {
        "id": it.external_id,
        "created_at": iso(it.created_at),
        "zone": it.zone,
        "traits": it.traits,
        "consent": it.consent,
        "channels": it.channels,
        "segments": [{"name": name, "since": iso(since)} for name, since in it.segments],
        "enrollments": [
            {
                "campaign": passage.campaign,
                "status": passage.status,
                "step": passage.step,
                "entered_at": iso(passage.entered_at),
                "due_at": None if passage.due_at >= NEVER else iso(passage.due_at),
                "variants": passage.variants,
                "reason": passage.reason,
            }
            for passage in it.enrollments
        ],
    }
