"""The pages to look around in: campaigns, segments, messages with their reasons, one person.

They change nothing and are meant for whoever runs the engine: without `--open` they need the
token of the link that `serve` prints. Personal data is masked.
"""

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.core.model.campaigns import Program
from engine.core.model.instants import NEVER
from engine.core.segments import Segments
from engine.membership import sizes, with_asked
from engine.reading import (
    MESSAGES_SHOWN,
    find_profile,
    latest_messages,
    read_profile,
)
from engine.steady import present
from engine.store.connection import Connection
from engine.story import message_story, told
from engine.web.gauges import Overview
from engine.web.html import page
from engine.web.services import Services, in_reader, services_of

COOKIE: Final = "antiphon_pages"
_WAITING: Final = ("deferred", "queued", "attempting")
ASKED_MAX: Final = 20_000
"""So many people are asked about segments without members while a page is waited for."""

# A report is a file of the user's own making with inline plots and perhaps scripts: it may do
# what it likes inside its own frame of mind, but not reach our cookie or the network.
_REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


async def home(request: Request) -> Response:
    """`/`: everything at a glance."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused

    def read() -> Response:
        overview = services.gauges.overview()
        program = services.program()
        with services.database.read() as connection:
            messages = latest_messages(connection)
            held = _held(connection) if program else {}
            compiled = services.segments()
            if compiled is not None and overview.profiles <= ASKED_MAX:
                names = list(compiled.when_read)
                asked = sizes(connection, names, segments=compiled, now=present())
                overview = replace(overview, segments={**overview.segments, **asked})
        return page(
            "home.html",
            workspace=services.settings.directory.name,
            release=program.release if program else 0,
            overview=overview,
            lag=_span(services.tick_lag_seconds()),
            campaigns=_campaigns(program, overview, held),
            segments=_segments(program, overview, compiled),
            messages=messages[:20],
            reports=_reports(services.settings.directory),
        )

    return await in_reader(services, read)


async def messages(request: Request) -> Response:
    """`/messages?campaign=`: the newest decisions and why."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused
    campaign = request.query_params.get("campaign", "")

    def read() -> Response:
        with services.database.read() as connection:
            found = latest_messages(connection, campaign=campaign)
        return page("messages.html", campaign=campaign, messages=found, shown=MESSAGES_SHOWN)

    return await in_reader(services, read)


async def message(request: Request) -> Response:
    """`/messages/{id}`: one message and its whole story."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused
    id = int(request.path_params["id"])

    def read() -> Response:
        with services.database.read() as connection:
            it = (
                message_story(
                    connection, id, program=services.program(), segments=services.segments()
                )
                if id < NEVER
                else None
            )
        if it is None:
            return _missing(f"There is no message {id}.")
        return page("message.html", it=it, story=told(it))

    return await in_reader(services, read)


async def profile(request: Request) -> Response:
    """`/profiles?id=`: one person by user id or anonymous id."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused
    id = request.query_params.get("id", "").strip()
    program = services.program()
    segments = tuple(program.segments) if program else ()

    def read() -> Response:
        with services.database.read() as connection:
            found = find_profile(connection, id, kinds=("user", "anonymous"))
            it = (
                None
                if found is None
                else read_profile(connection, found, segments=segments, with_timeline=True)
            )
            if it is not None:
                it = with_asked(connection, it, services.segments(), now=present())
        return _missing("No profile has this id.") if it is None else page("profile.html", it=it)

    return await in_reader(services, read)


async def report(request: Request) -> Response:
    """`/reports/{name}`: a report file of the workspace."""
    services = services_of(request)
    refused = turned_away(request, services)
    if refused is not None:
        return refused
    name = request.path_params["name"]
    # Only names that the folder lists: no path of the caller's making is ever opened.
    known = {entry["name"] for entry in _reports(services.settings.directory)}
    if name not in known:
        return _missing("There is no such report.")
    headers = {"Content-Security-Policy": _REPORT_POLICY, "Cache-Control": "no-store"}
    path = _report_folder(services.settings.directory) / name
    return FileResponse(path, headers=headers, media_type="text/html")


ROUTES: Final = [
    Route("/", home, methods=["GET"]),
    Route("/messages", messages, methods=["GET"]),
    Route("/messages/{id:int}", message, methods=["GET"]),
    Route("/profiles", profile, methods=["GET"]),
    Route("/reports/{name}", report, methods=["GET"]),
]


def turned_away(request: Request, services: Services) -> Response | None:
    """None for who may look; else the way in, or a page that says where it is."""
    if services.is_open:
        return None
    offered = request.query_params.get("token")
    if offered is not None and _same(offered, services.page_token):
        rest = "&".join(
            f"{quote(name)}={quote(value)}"
            for name, value in request.query_params.multi_items()
            if name != "token"
        )
        answer = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
        answer.set_cookie(COOKIE, services.page_token, httponly=True, samesite="lax", path="/")
        answer.headers["Cache-Control"] = "no-store"
        return answer
    if _same(request.cookies.get(COOKIE, ""), services.page_token):
        return None
    return page(
        "letter.html",
        status=401,
        title="This page is private",
        paragraphs=[
            "Open the link that “antiphon serve” printed in its terminal: it carries the token "
            "that opens these pages in this browser until the server restarts."
        ],
        buttons=[],
    )


def _same(offered: str, token: str) -> bool:
    return hmac.compare_digest(offered.encode("utf-8", "surrogatepass"), token.encode())


def _missing(word: str) -> Response:
    return page("letter.html", status=404, title="Not found", paragraphs=[word], buttons=[])


def _held(connection: Connection) -> dict[str, str]:
    """What an operator says of the campaigns that one holds."""
    from engine.release.operating import standings  # what it knows of files is not needed to start

    return {
        name: f"{it.by_whom}: {it.why}" if it.why else it.by_whom
        for name, it in standings(connection).items()
        if it.held
    }


def _campaigns(
    program: Program | None, overview: Overview, held: Mapping[str, str]
) -> list[dict[str, Any]]:
    seen = {name for name, _ in (*overview.passages, *overview.messages) if name}
    known = dict(program.campaigns) if program else {}
    rows = []
    for name in sorted(seen | set(known)):
        campaign = known.get(name)
        messages, passages = overview.messages, overview.passages
        rows.append(
            {
                "name": name,
                "title": campaign.title if campaign else "",
                "state": campaign.state if campaign else "removed",
                "held": held.get(name, ""),
                "inside": passages.get((name, "active"), 0),
                "finished": sum(
                    passages.get((name, it), 0) for it in ("done", "exited", "dropped")
                ),
                "sent": messages.get((name, "sent"), 0),
                "waiting": sum(messages.get((name, it), 0) for it in _WAITING),
                "ghosts": messages.get((name, "ghost"), 0),
                "dropped": messages.get((name, "dropped"), 0),
            }
        )
    return rows


def _segments(
    program: Program | None, overview: Overview, compiled: Segments | None
) -> list[dict[str, Any]]:
    """Sizes; None for a segment without members that too many people would have to be asked for."""
    names = sorted(program.segments) if program else sorted(overview.segments)
    total = max(1, overview.profiles)
    asked = compiled.when_read if compiled is not None else frozenset()
    rows: list[dict[str, Any]] = []
    for name in names:
        if name in asked and name not in overview.segments:
            rows.append({"name": name, "size": None, "share": 0.0})
            continue
        n = overview.segments.get(name, 0)
        rows.append({"name": name, "size": n, "share": min(1.0, n / total)})
    return rows


def _report_folder(directory: Path) -> Path:
    return directory / ".antiphon" / "reports"


def _reports(directory: Path) -> list[dict[str, Any]]:
    folder = _report_folder(directory)
    files = [path for path in folder.glob("*.html") if path.is_file() and not path.is_symlink()]
    files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        {
            "name": path.name,
            "title": path.stem.replace("-", " ").replace("_", " ").capitalize(),
            "at": int(path.stat().st_mtime * 1e6),
        }
        for path in files
    ]


def _span(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
