"""`POST /v1/exposures`: what visitors were shown, from servers and pages that have no SDK of ours.

Each becomes an `Experiment Viewed` event whose messageId follows from experiment, phase and unit,
so that saying it again has no effect: neither a second event nor another first exposure. What could
not be an exposure is refused here, so that a wrong report never stands in the way of a right one.
"""

from hashlib import sha256
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.errors import CommitUnknown, InvalidEvent, Overloaded
from engine.core.journeys.viewed import EXPERIMENT_VIEWED
from engine.core.model.instants import HOUR, Instant
from engine.core.roster import Arms
from engine.flagging.catalog import Catalog
from engine.intake.prepare import Answer, prepare
from engine.intake.validate import check_id
from engine.web.flags_door import caller_of, catalog_now, encode, for_pages, json_answer, receive
from engine.web.keyring import Caller
from engine.web.problem import Refusal
from engine.web.services import Services, committed, services_of

_PASSED: Final = ("userId", "anonymousId", "timestamp", "context")
_OF_BANDITS: Final = ("allocation", "bandit_context")
"""By which weights it was drawn, as the answer's metadata said."""
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


async def exposures(request: Request) -> Response:
    """Take one exposure, or `{"exposures": [...]}`; 200 means durable, item by item in a batch."""
    services = services_of(request)
    caller = caller_of(request, services)
    is_single, items = await _items(request, services)
    if len(items) > 1:
        services.budget.spend(caller, events=len(items) - 1)
    catalog, now = catalog_now(services), services.clock()
    answers: list[Answer | None] = []
    calls = []
    for item in items:
        try:
            calls.append(_call(item, catalog, now))
            answers.append(None)
        except InvalidEvent as error:
            answers.append(Answer("rejected", field=error.field, message=str(error)))
    taken = iter(await _committed(request, services, caller, calls, now) if calls else ())
    results = [it if it is not None else next(taken) for it in answers]
    if not is_single:
        return json_answer(encode({"success": True, "results": results}))
    (found,) = results
    if found.status == "rejected":
        raise Refusal(400, "invalid", found.message, field=found.field)
    return json_answer(encode({"success": True, "status": found.status}))


ROUTES: Final = [Route("/v1/exposures", for_pages(exposures), methods=["POST", "OPTIONS"])]


async def _items(request: Request, services: Services) -> tuple[bool, list[Any]]:
    settings = services.settings
    payload = await receive(request, bytes_max=settings.batch_bytes_max)
    try:
        body = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "json", f"The body is not a JSON object: {error}.") from None
    if "exposures" not in body:
        return True, [body]
    items = body["exposures"]
    if not isinstance(items, list) or len(items) > settings.batch_events_max:
        raise Refusal(
            400,
            "invalid",
            f"exposures: a list of at most {settings.batch_events_max:,} is required",
            field="exposures",
        )
    return False, items


def _call(item: Any, catalog: Catalog, now: Instant) -> dict[str, Any]:
    """The call of the tracking API that an exposure is.

    Raises:
        InvalidEvent: If it names no experiment that is live, no variant of it, or nobody.
    """
    if not isinstance(item, dict):
        raise InvalidEvent("an exposure is an object", field="exposures")
    arms = _arms(item, catalog)
    it = arms.experiment
    variant = item.get("variant")
    if variant not in arms.names:
        raise InvalidEvent(
            f"variant: {it.name!r} has {', '.join(arms.names)}; found {str(variant)[:60]!r}",
            field="variant",
        )
    phase = item.get("phase", it.phase)
    if str(phase) not in map(str, range(1, it.phase + 1)):
        raise InvalidEvent(f"phase: {it.name!r} is in phase {it.phase}", field="phase")
    call = {name: item[name] for name in _PASSED if item.get(name) is not None}
    unit = _unit(item, it.unit, now)
    key = sha256(f"{it.name}\n{phase}\n{unit}".encode("utf-8", "surrogatepass")).hexdigest()
    properties = {
        "experiment_id": it.name,
        "experiment_name": it.name,
        "variation_id": variant,
        "variation_name": variant,
        "phase": int(phase),
        **{name: item[name] for name in _OF_BANDITS if item.get(name) is not None},
    }
    return {
        "type": "track",
        "event": EXPERIMENT_VIEWED,
        "messageId": f"exposure:{key}",
        "properties": properties,
        **call,
    }


def _arms(item: dict[str, Any], catalog: Catalog) -> Arms:
    name = item.get("experiment")
    if not isinstance(name, str) or name not in catalog.roster.arms:
        raise InvalidEvent(
            f"experiment: there is no {str(name)[:100]!r}; apply it first", field="experiment"
        )
    arms = catalog.roster.arms[name]
    if arms.experiment.campaign:
        raise InvalidEvent(
            f"experiment: {name!r} is exposed by its journey, and by nobody else",
            field="experiment",
        )
    if arms.experiment.is_cap:
        raise InvalidEvent(
            f"experiment: {name!r} is exposed by its cap, and by nobody else", field="experiment"
        )
    if arms.experiment.state != "live":
        raise InvalidEvent(
            f"experiment: {name!r} is {arms.experiment.state}, so nobody is exposed to it",
            field="experiment",
        )
    return arms


def _unit(item: dict[str, Any], unit: str, now: Instant) -> str:
    """What an exposure is once for: the unit, as far as a request can say it."""
    user = check_id(item.get("userId"), field="userId")
    anonymous = check_id(item.get("anonymousId"), field="anonymousId")
    match unit:
        case "user" if user:
            return user
        case "anonymous" if anonymous:
            return anonymous
        case "user" | "anonymous":
            raise InvalidEvent(
                f"{unit}Id: this experiment draws by {unit} id; say whose", field=f"{unit}Id"
            )
    if not (user or anonymous):
        raise InvalidEvent("userId: userId or anonymousId is required", field="userId")
    who = f"user {user}" if user else f"anonymous {anonymous}"
    # A trait's value is known when it is played: a person may have none yet, and come again.
    return who if unit == "profile" else f"{who} {now // HOUR}"


async def _committed(
    request: Request, services: Services, caller: Caller, calls: list[Any], now: Instant
) -> list[Answer]:
    request.app.state.traffic.admit()
    try:
        prepared = prepare(
            encode({"batch": calls}),
            kind="batch",
            terms=services.terms(caller.kind),
            received_at=now,
        )
        if not prepared.facts:
            return prepared.answers
        return await committed(request, services.accept(prepared))
    except InvalidEvent as error:
        raise Refusal(400, "invalid", str(error), field=error.field) from None
    except Overloaded as error:
        seconds = max(1, round(error.retry_after_seconds))
        raise Refusal(503, "overloaded", str(error), retry_after_seconds=seconds) from None
    except CommitUnknown as error:
        raise Refusal(503, "commit_unknown", str(error), retry_after_seconds=1) from None
