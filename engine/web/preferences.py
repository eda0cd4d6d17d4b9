"""The preference centre: what somebody gets, by topic and channel, and a button to stop it all.

Whoever holds the token of a message may choose for its receiver, as often as they like; no cookie,
no login, no script. A GET changes nothing.
"""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.consent.choosing import choose
from engine.consent.standing import Place, Standing, Terms, standing
from engine.core.model.campaigns import Topic
from engine.store.connection import Connection
from engine.web.body import read_body
from engine.web.html import page
from engine.web.links import FORM_BYTES_MAX, invalid, token_of
from engine.web.preference_words import WORDS, Words, language_of, version
from engine.web.services import Services, in_reader, services_of, written_with_reserve

FIELDS_MAX: Final = 2_000


async def ask(request: Request) -> Response:
    """`GET /preferences/{token}`: what they get now. Changes nothing."""
    services = services_of(request)
    token = token_of(request, services, "preferences")
    if token is None:
        return invalid()
    terms = terms_of(services)

    def read() -> Standing | None:
        with services.database.read() as connection:
            return standing(connection, message=token.message, terms=terms, log=services.log)

    found = await in_reader(services, read)
    return invalid() if found is None else _page(services, found)


async def act(request: Request) -> Response:
    """`POST /preferences/{token}`: let it be as they say, then show it. Twice is fine.

    Only what they saw is touched. Not subject to admission control, since it may be an opt-out.
    """
    services = services_of(request)
    token = token_of(request, services, "preferences")
    if token is None:
        return invalid()
    body = await read_body(request, bytes_max=FORM_BYTES_MAX)
    wants_all_stopped, wanted = read_form(body)
    if wanted is None:
        return await ask(request)  # no button of ours was pressed
    terms, message = terms_of(services), token.message

    def change(connection: Connection) -> Standing | None:
        # The words they read were those of their language, which the profile says.
        shown = standing(connection, message=message, terms=terms, log=services.log)
        if shown is None:
            return None
        return choose(
            connection,
            message=message,
            terms=terms,
            wanted=None if wants_all_stopped else wanted,
            log=services.log,
            now=services.clock(),
            text_version=version(language_of(shown.locale)),
        )

    found = await written_with_reserve(request, services, change)
    if found is None:
        return invalid()
    words = WORDS[language_of(found.locale)]
    return _page(services, found, note=words.stopped if wants_all_stopped else words.saved)


ROUTES: Final = [
    Route("/preferences/{token}", ask, methods=["GET"]),
    Route("/preferences/{token}", act, methods=["POST"]),
]


def terms_of(services: Services) -> Terms:
    """What the applied workspace lets people choose."""
    program = services.program()
    if program is None:
        return Terms((), services.kinds())
    return Terms(
        tuple(name for name, topic in program.topics.items() if not topic.is_transactional),
        services.kinds(),
        unknown_is_yes=program.consent_unknown == "allow",
        double=frozenset(name for name, topic in program.topics.items() if topic.is_double),
    )


def title_of(services: Services, topic: str, language: str) -> str:
    """What people call a topic in their language, where the workspace says so."""
    program = services.program()
    known = (program.topics.get(topic) if program else None) or Topic(topic)
    return known.titles.get(language) or known.title or topic


def read_form(body: bytes) -> tuple[bool, dict[Place, bool] | None]:
    """(whether all is to stop, what was seen and is wanted); None without one of our buttons.

    A box that is not ticked is not sent, so the form also says what it showed.

    >>> read_form(b"seen=email:news&seen=sms:news&on=email:news&do=save")
    (False, {('email', 'news'): True, ('sms', 'news'): False})
    """
    try:
        fields = parse_qsl(body.decode(), max_num_fields=FIELDS_MAX)
    except ValueError:
        return False, None
    pressed = {value for name, value in fields if name == "do"}
    if not pressed & {"save", "stop"}:
        return False, None
    ticked = {value for name, value in fields if name == "on"}
    seen = [value for name, value in fields if name == "seen"]
    wanted: dict[Place, bool] = {}
    for value in seen:
        channel, _, topic = value.partition(":")
        wanted[channel, topic] = value in ticked
    return "stop" in pressed, wanted


def _page(services: Services, found: Standing, *, note: str = "") -> Response:
    language = language_of(found.locale)
    words = WORDS[language]
    topics: dict[str, list[dict[str, object]]] = {}
    for (channel, topic), is_on in found.choices.items():
        box = {
            "value": f"{channel}:{topic}",
            "label": channel_word(words, channel),
            "is_on": is_on,
            "is_fixed": not found.may_grant and not is_on,
        }
        topics.setdefault(topic, []).append(box)
    return page(
        "preferences.html",
        language=language,
        words=words,
        note=note,
        is_stale=not found.may_grant,
        topics=[
            {"title": title_of(services, topic, language), "boxes": boxes}
            for topic, boxes in topics.items()
        ],
    )


def channel_word(words: Words, channel: str) -> str:
    """What a kind of channel is called."""
    return str(getattr(words, channel, channel))
