"""`POST /v1/assignments:batch`: what many units are given, a line of JSON each.

Units given (a page of them a request), or everyone of a segment however large. The last line says
how many there were; an answer without it was cut off. Nothing is recorded: being listed is no
exposure.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from engine.core.errors import InvalidEvent
from engine.flagging.batch import (
    PAGE_UNITS,
    Audience,
    Line,
    Page,
    assigned,
    page_of_units,
    pages_of_segment,
)
from engine.flagging.visitors import NO_SEGMENTS
from engine.intake.validate import check_id
from engine.web.flags_door import caller_of, catalog_now, encode, read_object, server_only
from engine.web.problem import Refusal
from engine.web.services import Services, in_reader, services_of

UNITS_MAX: Final = 100_000
UNITS_BYTES_MAX: Final = 8_000_000
AT_ONCE: Final = 2
"""Audiences in work at a time: of the few reading threads one is always left to others."""

_lines: Final = msgspec.json.Encoder().encode_lines


async def batch(request: Request) -> Response:
    """Stream the assignments. Server keys only."""
    services = services_of(request)
    server_only(caller_of(request, services), "Assigning audiences")
    body = await read_object(request, bytes_max=UNITS_BYTES_MAX)
    audience = _audience(body, services)
    reads = _reads(body, audience)
    state = request.app.state
    if getattr(state, "n_audiences", 0) >= AT_ONCE:
        raise Refusal(
            503, "overloaded", f"{AT_ONCE} audiences are being assigned; one at a time.",
            retry_after_seconds=5,
        )  # fmt: skip

    async def told() -> AsyncIterator[bytes]:
        counts: Counter[str] = Counter()
        state.n_audiences = getattr(state, "n_audiences", 0) + 1
        try:
            while (lines := await in_reader(services, lambda: reads(services))) is not None:
                counts.update(it.variant or "" for it in lines)
                yield _lines(lines)
        finally:
            state.n_audiences -= 1
        n_outside = counts.pop("", 0)
        summary = {
            "experiment": audience.name,
            "phase": audience.catalog.roster.arms[audience.name].experiment.phase,
            "n": sum(counts.values()) + n_outside,
            "variants": dict(sorted(counts.items())),
            "outside": n_outside,
        }
        yield encode(summary) + b"\n"

    return StreamingResponse(told(), media_type="application/x-ndjson")


ROUTES: Final = [Route("/v1/assignments:batch", batch, methods=["POST"])]


def _audience(body: dict[str, Any], services: Services) -> Audience:
    catalog = catalog_now(services)
    name = body.get("experiment")
    if not isinstance(name, str) or name not in catalog.roster.arms:
        known = ", ".join(sorted(catalog.roster.arms)) or "none"
        raise Refusal(
            404, "not_found", f"There is no experiment {str(name)[:100]!r}; there are: {known}.",
            field="experiment",
        )  # fmt: skip
    return Audience(catalog, services.segments() or NO_SEGMENTS, name, services.clock())


Reads = Callable[[Services], list[Line] | None]
"""Gives the next lines, None at the end. Blocks."""


def _reads(body: dict[str, Any], audience: Audience) -> Reads:
    if ("units" in body) == ("segment" in body):
        raise Refusal(400, "invalid", "Give units or a segment, one of the two.", field="units")
    if "units" in body:
        return _reads_units(_units(body["units"]), audience)
    segment = body["segment"]
    if not isinstance(segment, str) or segment not in audience.segments.asks:
        raise Refusal(
            404, "not_found", f"There is no segment {str(segment)[:100]!r}.", field="segment"
        )
    if audience.catalog.roster.arms[audience.name].experiment.unit == "anonymous":
        raise Refusal(
            400, "invalid",
            f"{audience.name!r} draws by anonymous id, and a person may have several. Give units.",
            field="segment",
        )  # fmt: skip
    return _reads_segment(segment, audience)


def _reads_units(units: list[str], audience: Audience) -> Reads:
    at = 0

    def read(services: Services) -> list[Line] | None:
        nonlocal at
        piece = units[at : at + PAGE_UNITS]
        if not piece:
            return None
        at += len(piece)
        with services.database.read() as connection:
            return assigned(connection, audience, page_of_units(connection, audience, piece))

    return read


def _reads_segment(segment: str, audience: Audience) -> Reads:
    after = -1

    def read(services: Services) -> list[Line] | None:
        nonlocal after
        with services.database.read() as connection:
            found: tuple[Page, int] | None = pages_of_segment(
                connection, audience, segment, after=after
            )
            if found is None:
                return None
            page, after = found
            return assigned(connection, audience, page)

    return read


def _units(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise Refusal(400, "invalid", "units: a list of ids is required", field="units")
    if len(given) > UNITS_MAX:
        raise Refusal(
            413, "too_many", f"units: {len(given):,} are too many; at most {UNITS_MAX:,} a request",
            field="units",
        )  # fmt: skip
    found = []
    try:
        for place, id in enumerate(given):
            unit = check_id(id, field=f"units.{place}")
            if unit is None:
                raise InvalidEvent(f"units.{place}: an id is required", field=f"units.{place}")
            found.append(unit)
    except InvalidEvent as error:
        raise Refusal(400, "invalid", str(error), field=error.field) from None
    return found
