"""What GrowthBook's SDKs ask for: the payload, its changes, and evaluation on the server.

The write key stands in the path as their client key. `GET /api/features/{key}` lets an SDK decide
alone what it can; `POST /api/eval/{key}` decides everything here, profile and all.
https://docs.growthbook.io/self-host/proxy, and the SDKs of PyPI and npm as they are.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.errors import InvalidEvent
from engine.flagging.answering import Answer, value_of
from engine.flagging.published import attribute_of
from engine.intake.validate import check_value
from engine.web.flags_door import (
    answers_for,
    caller_by_path,
    catalog_now,
    encode,
    for_pages,
    is_known,
    json_answer,
    read_object,
    visitor_of,
)
from engine.web.flags_stream import stream
from engine.web.problem import Refusal
from engine.web.services import services_of
from experiments.flags import ExperimentResult
from experiments.flags.urls import forced_by_query

URL_CHARACTERS_MAX: Final = 8_192


async def features(request: Request) -> Response:
    """`GET /api/features/{client_key}`: the payload; 304 if the client has it."""
    services = services_of(request)
    caller = caller_by_path(request, services)
    found = catalog_now(services).for_sdks(caller.kind)
    headers = {
        "ETag": found.etag,
        "x-sse-support": "enabled",
        "Access-Control-Expose-Headers": "ETag, x-sse-support, Retry-After",
        "Cache-Control": "private, no-cache",
    }
    if is_known(request, found.etag):
        return Response(status_code=304, headers=headers)
    return json_answer(found.body, headers=headers)


async def subscription(request: Request) -> Response:
    """`GET /sub/{client_key}`: says `features-updated` whenever what is served has changed."""
    services = services_of(request)
    key = str(request.path_params["client_key"])
    caller_by_path(request, services)

    def is_welcome() -> bool:
        try:
            services.keys.by_text(key)
        except Refusal:
            return False
        return True

    def changed(etag: str) -> bytes:
        # Without the payload: a client of remote evaluation would take it for its own answer.
        return b"id: %s\nevent: features-updated\ndata: {}\n\n" % etag.encode()

    return stream(request, services, changed, is_welcome=is_welcome)


async def evaluation(request: Request) -> Response:
    """`POST /api/eval/{client_key}`: one visitor's values, with what they were exposed to."""
    services = services_of(request)
    caller = caller_by_path(request, services)
    body = await read_object(request)
    visitor = visitor_of(body.get("attributes"), caller, services, field="attributes")
    by_hand = _forced_variations(body)
    values = _forced_features(body)
    url = body.get("url") or ""
    if not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX:
        raise Refusal(400, "invalid", "url: a text is required", field="url")
    found = await answers_for(request, services, visitor, catalog_now(services).names)
    told = {
        name: _feature(it, values, _place(it, by_hand, url), visitor.attributes)
        for name, it in found.items()
    }
    # The client's own, whether or not we know of them.
    told |= {name: {"defaultValue": value} for name, value in values.items() if name not in told}
    headers = {
        "Access-Control-Expose-Headers": "x-sse-support, Retry-After",
        "x-sse-support": "enabled",
        "Cache-Control": "no-store",
    }
    body_told = encode({"status": 200, "features": told, "experiments": []})
    return json_answer(body_told, headers=headers)


ROUTES: Final = [
    Route(path, for_pages(handler), methods=[method, "OPTIONS"])
    for path, handler, method in (
        ("/api/features/{client_key}", features, "GET"),
        ("/sub/{client_key}", subscription, "GET"),
        ("/api/eval/{client_key}", evaluation, "POST"),
    )
]


def _feature(
    it: Answer, values: Mapping[str, Any], place: int | None, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    name = it.experiment.name
    if name in values:
        return {"defaultValue": values[name]}
    if place is not None:
        return {"defaultValue": value_of(it.experiment, it.experiment.variants[place].name)}
    feature: dict[str, Any] = {"defaultValue": it.value}
    if it.is_drawn:
        feature["rules"] = [{"force": it.value, "tracks": [_track(it, attributes)]}]
    return feature


def _track(it: Answer, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the client's SDK hands to its tracking callback; other variants' values stay here."""
    experiment = it.experiment
    attribute = attribute_of(experiment.unit) or "userId"
    result = ExperimentResult(
        value=it.value,
        variation=it.position,
        key=it.variant,
        in_experiment=True,
        hash_used=True,
        hash_attribute=attribute,
        hash_value=attributes.get(attribute, it.unit if experiment.unit != "profile" else ""),
        feature=experiment.name,
        bucket=it.bucket,
        sticky_used=it.is_sticky,
        name=it.variant,
        leaf_id=_leaf(it),
        variation_weights=it.chances or None,
        bandit_version=it.allocation if it.context else None,
    )
    variations = [
        it.value if index == it.position else {} for index in range(len(experiment.variants))
    ]
    return {
        "experiment": {
            "key": experiment.name,
            "name": experiment.name,
            "phase": str(it.phase),
            "hashAttribute": attribute,
            "variations": variations,
            "meta": [{"key": each.name, "name": each.name} for each in experiment.variants],
        },
        "result": result.as_json(),
    }


def _leaf(it: Answer) -> int | None:
    """The place of the answer's context among those of its bandit, -1 for the rest."""
    if not it.context or it.experiment.bandit is None:
        return None
    place = it.experiment.bandit.context_names.index(it.context)
    return place if place < len(it.experiment.bandit.contexts or ()) else -1


def _place(it: Answer, by_hand: Mapping[str, Any], url: str) -> int | None:
    """Which variant the request itself asks for, by its address or by hand; no exposure."""
    experiment = it.experiment
    n_variants = len(experiment.variants)
    found = forced_by_query(experiment.name, url, n_variants) if url else None
    if found is None:
        found = by_hand.get(experiment.name)
    is_place = type(found) is int and 0 <= found < n_variants
    return found if is_place else None


def _forced_variations(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("forcedVariations")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Refusal(
            400, "invalid", "forcedVariations: {experiment: place of the variant} is required",
            field="forcedVariations",
        )  # fmt: skip
    return found


def _forced_features(body: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs, as SDKs write a map; an object will do."""
    found = body.get("forcedFeatures")
    pairs = list(found.items()) if isinstance(found, dict) else found or []
    try:
        check_value(pairs, field="forcedFeatures")
    except InvalidEvent as error:
        raise Refusal(400, "invalid", str(error), field=error.field) from None
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in pairs
    ):
        raise Refusal(
            400, "invalid", "forcedFeatures: a list of [feature, value] is required",
            field="forcedFeatures",
        )  # fmt: skip
    return {pair[0]: pair[1] for pair in pairs}
