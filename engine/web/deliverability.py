"""`/deliverability`: what reached people, and what came back, by domain, campaign and day."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.model.instants import DAY
from engine.readout.deliverability import DIMENSIONS, Cell, deliverability, folded
from engine.steady import present
from engine.web.html import page
from engine.web.pages import turned_away
from engine.web.services import in_reader, services_of

DAYS: Final = 7
SPLITS: Final = (
    ("Recipient domain", ("channel", "domain")),
    ("Campaign", ("campaign",)),
    ("Provider", ("channel", "provider")),
    ("Day (UTC)", ("day",)),
)


async def deliverability_page(request: Request) -> Response:
    """`/deliverability?campaign=`: the last seven days."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused
    campaign = request.query_params.get("campaign") or None

    def read() -> Response:
        since = (present() // DAY - DAYS + 1) * DAY
        with services.database.read() as connection:
            cells = deliverability(connection, by=tuple(DIMENSIONS), since=since, campaign=campaign)
        tables = [(title, by, _rows(folded(cells, by))) for title, by in SPLITS]
        return page("deliverability.html", campaign=campaign or "", days=DAYS, tables=tables)

    return await in_reader(services, read)


def _rows(cells: list[Cell]) -> list[dict[str, Any]]:
    return [
        {
            "by": tuple(each.by.values()),
            "sent": each.figures.sent,
            "shares": [
                f"{each.figures.share(name):.2%}"
                for name in each.figures.__struct_fields__
                if name != "sent"
            ],
        }
        for each in cells
    ]


ROUTES: Final = [Route("/deliverability", deliverability_page, methods=["GET"])]
