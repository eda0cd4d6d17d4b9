"""The page behind the link of a double opt-in: a question, a button, a word of thanks.

A GET changes nothing: scanners open every link of a mail, and none may sign anybody up.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.consent.confirming import Question, confirm, question
from engine.store.connection import Connection
from engine.web.body import read_body
from engine.web.html import page
from engine.web.links import FORM_BYTES_MAX, invalid, token_of
from engine.web.preference_words import WORDS, language_of, version
from engine.web.preferences import channel_word, terms_of, title_of
from engine.web.services import Services, committed, in_reader, services_of


async def ask(request: Request) -> Response:
    """`GET /confirm/{token}`: what would be agreed to, and a button. Changes nothing."""
    services = services_of(request)
    token = token_of(request, services, "confirm")
    if token is None:
        return invalid()

    def read() -> Question | None:
        with services.database.read() as connection:
            return question(connection, message=token.message, now=services.clock())

    return _page(services, await in_reader(services, read))


async def act(request: Request) -> Response:
    """`POST /confirm/{token}`: write down that they agree, then say so. Twice is fine."""
    services = services_of(request)
    token = token_of(request, services, "confirm")
    if token is None:
        return invalid()
    await read_body(request, bytes_max=FORM_BYTES_MAX)  # it says nothing that we would need
    terms, message = terms_of(services), token.message

    def change(connection: Connection) -> Question | None:
        now = services.clock()
        asked = question(connection, message=message, now=now)
        language = language_of(asked.locale if asked else "")
        return confirm(
            connection,
            message=message,
            terms=terms,
            log=services.log,
            now=now,
            text_version=version(language),
        )

    return _page(services, await committed(request, services.write(change)))


ROUTES: Final = [
    Route("/confirm/{token}", ask, methods=["GET"]),
    Route("/confirm/{token}", act, methods=["POST"]),
]


def _page(services: Services, found: Question | None) -> Response:
    if found is None:
        return invalid()
    language = language_of(found.locale)
    words = WORDS[language]
    channel, topic = found.place
    named = {
        "topic": title_of(services, topic, language),
        "channel": channel_word(words, channel),
    }
    buttons: list[dict[str, str]] = []
    if found.state == "open":
        title, text = words.confirm_title, words.confirm_question.format(**named)
        buttons = [{"scope": "yes", "label": words.confirm}]
    elif found.state == "confirmed":
        title, text = words.confirmed_title, words.confirmed.format(**named)
    else:
        title, text = words.expired_title, words.expired
    return page("letter.html", language=language, title=title, paragraphs=[text], buttons=buttons)
