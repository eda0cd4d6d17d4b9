"""The link in messages by which people unsubscribe, and what all our links have in common.

A GET never unsubscribes: scanners open every link. The one-click POST of RFC 8058 needs no cookie
and no body that we would have to read; whoever holds the token may say no, as often as they like.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from channels.tokens import Kind, Token, read_token
from engine.consent.unsubscribe import EVERYTHING, Offer, Scope, Withdrawal, offered, withdraw
from engine.store.connection import Connection
from engine.web.body import read_body
from engine.web.html import page
from engine.web.services import Services, in_reader, services_of, written_with_reserve

FORM_BYTES_MAX: Final = 16_384
_CHANNELS: Final = {
    "email": "e-mails", "sms": "text messages", "push": "notifications",
    "web": "messages on our pages",
}  # fmt: skip


async def ask(request: Request) -> Response:
    """`GET /u/{token}`: what would be stopped, and a button. Changes nothing."""
    services = services_of(request)
    token = token_of(request, services, "unsubscribe")
    if token is None:
        return invalid()

    def read() -> Offer | None:
        with services.database.read() as connection:
            return offered(connection, token.message)

    found = await in_reader(services, read)
    if found is None:
        return invalid()
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
    token = token_of(request, services, "unsubscribe")
    if token is None:
        return invalid()
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
        return invalid()
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


ROUTES: Final = [
    Route("/u/{token}", ask, methods=["GET"]),
    Route("/u/{token}", act, methods=["POST"]),
]


def _title(services: Services, topic: str) -> str:
    """What people call a topic, where the workspace says so."""
    program = services.program()
    known = program.topics.get(topic) if program else None
    return known.title if known and known.title else topic


def token_of(request: Request, services: Services, kind: Kind) -> Token | None:
    """What the token in the path says; None if it is none of ours, or made for something else."""
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


def invalid() -> Response:
    """What a bad token gets: never a redirect, and no word of what was wrong."""
    return page(
        "letter.html",
        status=404,
        title="This link does not work",
        paragraphs=["It may have been cut short. Try the link in the message once more."],
        buttons=[],
    )
