"""The links in messages: unsubscribe, clicks, opens.

A GET never unsubscribes: scanners open every link. The one-click POST of RFC 8058 needs no cookie
and no body that we would have to read; whoever holds the token may say no, as often as they like.
"""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.base import DeliveryEvent, EventKind
from channels.tokens import Kind, Token, read_token
from engine.sending.hearing import note
from engine.sending.unsubscribe import EVERYTHING, Offer, Scope, Withdrawal, offered, withdraw
from engine.store.connection import Connection
from engine.web.body import read_body
from engine.web.gathering import Gathering
from engine.web.html import page
from engine.web.services import Services, committed, in_reader, services_of, written_with_reserve

FORM_BYTES_MAX: Final = 16_384
LOOK_UPS_MAX: Final = 25

# 43 bytes: the smallest GIF that every mail reader takes, one transparent pixel.
PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_CHANNELS: Final = {"email": "e-mails", "sms": "text messages", "push": "notifications"}


async def ask(request: Request) -> Response:
    """`GET /u/{token}`: what would be stopped, and a button. Changes nothing."""
    services = services_of(request)
    token = _token(request, services, "unsubscribe")
    if token is None:
        return _invalid()

    def read() -> Offer | None:
        with services.database.read() as connection:
            return offered(connection, token.message)

    found = await in_reader(services, read)
    if found is None:
        return _invalid()
    what = _CHANNELS.get(found.channel, "messages")
    everything = {"scope": "all", "label": f"Stop all marketing {what}"}
    if found.topic == EVERYTHING:
        buttons = [everything]
        question = f"You will get no more marketing {what} from us."
    else:
        title = _title(services, found.topic)
        buttons = [{"scope": "topic", "label": f"Stop “{title}”"}, everything]
        question = f"This message belongs to “{title}”. What should we stop sending you?"
    return page(
        "letter.html",
        title="Unsubscribe",
        paragraphs=[
            question,
            "It takes effect at once. Receipts and other messages about your own orders still "
            "reach you.",
        ],
        buttons=buttons,
    )


async def act(request: Request) -> Response:
    """`POST /u/{token}`: withdraw, then say so. Twice is fine.

    Not subject to admission control: an opt-out is taken even when events are refused.
    """
    services = services_of(request)
    token = _token(request, services, "unsubscribe")
    if token is None:
        return _invalid()
    scope, proof = _scope(await read_body(request, bytes_max=FORM_BYTES_MAX))
    message = token.message

    def change(connection: Connection) -> Withdrawal | None:
        return withdraw(
            connection,
            message=message,
            scope=scope,
            log=services.log,
            now=services.clock(),
            proof=proof,
        )

    done = await written_with_reserve(request, services, change)
    if done is None:
        return _invalid()
    what = _CHANNELS.get(done.channel, "messages")
    stopped = (
        f"marketing {what}"
        if done.topic == EVERYTHING
        else f"{what} about “{_title(services, done.topic)}”"
    )
    return page(
        "letter.html",
        title="You are unsubscribed",
        paragraphs=[f"We will send you no more {stopped}. You can close this page."],
        buttons=[],
    )


async def clicked(request: Request) -> Response:
    """`GET /t/c/{token}`: note the click and go where the link leads.

    The destination is looked up by message and position; a bad token leads nowhere.
    """
    services = services_of(request)
    token = _token(request, services, "click")
    if token is None:
        return _invalid()
    destination = await _destinations(request, services).add(token)
    if destination is None or not destination.startswith(("https://", "http://")):
        return _invalid()
    await _note(request, services, "clicked", token)
    return Response(status_code=302, headers={**_NO_STORE, "Location": destination})


async def opened(request: Request) -> Response:
    """`GET /t/o/{token}`: a pixel. It is given whatever happens: a broken image helps nobody."""
    services = services_of(request)
    token = _token(request, services, "open")
    if token is not None and request.method == "GET":
        await _note(request, services, "opened", token)
    return Response(PIXEL, media_type="image/gif", headers=_NO_STORE)


ROUTES: Final = [
    Route("/u/{token}", ask, methods=["GET"]),
    Route("/u/{token}", act, methods=["POST"]),
    Route("/t/c/{token}", clicked, methods=["GET"]),
    Route("/t/o/{token}", opened, methods=["GET"]),
]


def _title(services: Services, topic: str) -> str:
    """What people call a topic, where the workspace says so."""
    program = services.program()
    known = program.topics.get(topic) if program else None
    return known.title if known and known.title else topic


def _token(request: Request, services: Services, kind: Kind) -> Token | None:
    text = request.path_params["token"].removesuffix(".gif")
    try:
        return read_token(text, kind=kind, keys=services.link_keys)
    except ValueError:
        return None


def _scope(body: bytes) -> tuple[Scope, str]:
    """What the form asks for. Anything but our own "all" button means the message's topic: a mail
    reader's one-click body comes as a form or as multipart, and says nothing more."""
    if body == b"scope=all":
        return "all", "button: all marketing"
    if body == b"scope=topic":
        return "topic", "button: this topic"
    return "topic", "one-click POST (RFC 8058)"


async def _note(request: Request, services: Services, kind: EventKind, token: Token) -> None:
    now = services.clock()
    is_machine = _is_machine(request)
    # People click twice; the same link within a second is the same click.
    event_id = f"{kind}:{token.message}:{token.index}:{int(is_machine)}:{now // 1_000_000}"
    report = DeliveryEvent(
        kind=kind, message=token.message, event_id=event_id, at=now, is_machine=is_machine
    )
    await _notes(request, services).add(report)


def _notes(request: Request, services: Services) -> Gathering[DeliveryEvent, None]:
    """Clicks and opens of many people are committed together."""
    state = request.app.state
    found: Gathering[DeliveryEvent, None] | None = getattr(state, "notes", None)
    if found is None:

        async def commit(reports: Sequence[DeliveryEvent]) -> Sequence[None]:
            def change(connection: Connection) -> None:
                note(connection, reports, log=services.log, now=services.clock())

            await committed(request, services.write(change))
            return [None] * len(reports)

        found = state.notes = Gathering(commit)
    return found


def _destinations(request: Request, services: Services) -> Gathering[Token, str | None]:
    """Links are looked up by a few at a time: handing each to a thread costs more than the work."""
    state = request.app.state
    found: Gathering[Token, str | None] | None = getattr(state, "destinations", None)
    if found is None:

        async def look_up(tokens: Sequence[Token]) -> Sequence[str | None]:
            return await in_reader(
                services, lambda: [services.destination(it.message, it.index) for it in tokens]
            )

        found = state.destinations = Gathering(look_up, group_max=LOOK_UPS_MAX)
    return found


def _is_machine(request: Request) -> bool:
    """Scanners and privacy relays, as far as one request shows them.

    HEAD is a scanner; Apple's Mail Privacy Protection sends exactly `Mozilla/5.0`.
    """
    agent = request.headers.get("user-agent", "")
    return request.method == "HEAD" or agent in ("", "Mozilla/5.0")


def _invalid() -> Response:
    return page(
        "letter.html",
        status=404,
        title="This link does not work",
        paragraphs=["It may have been cut short. Try the link in the message once more."],
        buttons=[],
    )
