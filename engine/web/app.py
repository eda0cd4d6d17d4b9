"""Puts the app together: one list of routes a file, one shape for every error."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.core.errors import StoreError
from engine.web import (
    callbacks,
    confirming,
    deliverability,
    flags_batch,
    flags_exposures,
    flags_growthbook,
    flags_ofrep,
    health,
    links,
    local,
    pages,
    people,
    placements,
    preferences,
    tracking_links,
    triggers,
)
from engine.web.openapi import describe
from engine.web.problem import Refusal, answer_refusal, answer_unknown
from engine.web.services import Services
from engine.web.tracking import Door
from engine.web.traffic import Traffic

DESCRIPTION: Final = (
    "The Segment tracking spec and a little more. Events: POST /v1/track, identify, page, screen, "
    "group, alias, batch, with a write key as the user name of Basic auth; 200 means the event is "
    "durable. See docs/api.md."
)


def create_app(services: Services) -> FastAPI:
    """The web app over a running engine."""
    app = FastAPI(title="Antiphon", description=DESCRIPTION, redoc_url=None)
    app.openapi = lambda: describe("Antiphon", DESCRIPTION)  # type: ignore[method-assign]
    app.state.services = services
    app.state.traffic = traffic = Traffic(
        services.settings, waiting=services.waiting, folder=_disk_folder(services)
    )
    app.state.ears = callbacks.Ears(services)
    for module in (
        links,
        preferences,
        confirming,
        tracking_links,
        callbacks,
        health,
        people,
        placements,
        flags_ofrep,
        flags_growthbook,
        flags_exposures,
        flags_batch,
        triggers,
        local,
        pages,
        deliverability,
    ):
        app.router.routes.extend(module.ROUTES)
    app.add_middleware(Door, services=services, traffic=traffic)
    app.add_exception_handler(Refusal, answer_refusal)
    app.add_exception_handler(HTTPException, answer_unknown)
    app.add_exception_handler(StoreError, _answer_later)
    app.add_exception_handler(Exception, _answer_failure)
    return app


async def _answer_later(_request: Request, error: Exception) -> Response:
    """The database could not do it now: nothing was acknowledged, and asking again is right."""
    seconds = max(1, round(getattr(error, "retry_after_seconds", 2)))
    return Refusal(503, "store", str(error), retry_after_seconds=seconds).answer()


async def _answer_failure(_request: Request, error: Exception) -> Response:
    """Anything unforeseen: no word of its insides reaches the caller, the log has them all."""
    return Refusal(
        500,
        "failed",
        f"Something went wrong here ({type(error).__name__}). It is in the server's log; nothing "
        "was acknowledged, so the same request may be sent again.",
    ).answer()


def _disk_folder(services: Services) -> Path | None:
    """The folder whose disk the database fills, if it is ours to watch."""
    url = services.settings.database_url
    if not url.startswith("sqlite:///"):
        return None
    return Path(unquote(url.removeprefix("sqlite:///").partition("?")[0])).parent
