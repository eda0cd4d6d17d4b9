"""Work that commands of this machine send to the running server, by name.

Only the holder of the token in `.antiphon/serve.json` (readable by its user alone) may call, and
never a browser: a request that carries Origin is refused whatever else it carries.
"""

import hmac
import logging
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.errors import AntiphonError, NotOwner, StoreError, UsageError
from engine.web.body import read_body
from engine.web.problem import Refusal
from engine.web.services import services_of

log = logging.getLogger("antiphon.local")

WORK_BYTES_MAX: Final = 256_000_000
_encode = msgspec.json.Encoder().encode


async def work(request: Request) -> Response:
    """`POST /local/{name}` with a JSON payload: 200 {"result": …}."""
    services = services_of(request)
    offered = request.headers.get("authorization", "").removeprefix("Bearer ")
    is_ours = hmac.compare_digest(
        offered.encode("utf-8", "surrogatepass"), services.local_token.encode()
    )
    if not is_ours or "origin" in request.headers:
        raise Refusal(401, "unauthorized", "The token of .antiphon/serve.json is needed here.")
    operation = services.local.get(request.path_params["name"])
    if operation is None:
        known = ", ".join(sorted(services.local))
        raise Refusal(404, "not_found", f"No such operation; there are {known}.")
    body = await read_body(request, bytes_max=WORK_BYTES_MAX)
    try:
        payload: Any = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise Refusal(400, "invalid", f"The payload is not JSON: {error}.") from None
    try:
        result = await run_in_threadpool(operation, payload)
    except AntiphonError as error:
        raise Refusal(409, _code(error), str(error)) from error
    except Exception as error:
        log.exception("%s failed", request.path_params["name"])
        raise Refusal(500, "failed", f"{type(error).__name__}: see the server's log.") from error
    return Response(
        _encode({"result": {} if result is None else result}), media_type="application/json"
    )


ROUTES: Final = [Route("/local/{name}", work, methods=["POST"])]


def _code(error: AntiphonError) -> str:
    match error:
        case NotOwner():
            return "not_owner"
        case StoreError():
            return "store"
        case UsageError():
            return "usage"
        case _:
            return "failed"
