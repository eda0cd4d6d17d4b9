"""Opens and clicks are counted only where topic and reader allow it, as what leaves shows."""

from typing import Any

import pytest

from engine.store.database import Database
from tests.campaigns.build import SETTINGS
from tests.engine.shop_stage import Shop

PAGE = (
    '---\nsubject: Hello\n---\n<html><body><a href="https://shop.example/cart">Cart</a>'
    '<a href="{{ preferences_url }}">Choose</a></body></html>'
)
NO_TRACK = SETTINGS.replace("transactional: true", "transactional: true, track: false")
ASKED = SETTINGS.replace("topics: {", "topics: {tracking: {title: Measuring}, ")


def sent(
    database: Database, *, settings: str = SETTINGS, topic: str = "offers", said: Any = None
) -> Any:
    """The mail that somebody gets who has said this of topics by e-mail."""
    shop = Shop(
        database,
        {
            "antiphon.yaml": settings,
            "templates/email/remind.html": PAGE,
            "campaigns/nudge.yaml": f"""\
                campaign: nudge
                trigger: {{event: Product Added}}
                topic: {topic}
                journey: [{{send: {{channel: email, template: remind}}}}]
            """,
        },
    )
    shop.identify("u1", consent={"email": {"offers": True, **(said or {})}})
    shop.track("u1", "Product Added", cart_id="c1")
    shop.settle()
    shop.drain("email")
    (mail,) = shop.email.calls
    assert "https://shop.example/preferences/" in mail.html
    return mail


def is_tracked(mail: Any) -> bool:
    found = {mark in mail.html for mark in ("/t/c/", "/t/o/")} | {"/t/c/" in mail.text}
    assert len(found) == 1, "half of it is tracked"
    assert found == {'href="https://shop.example/cart"' not in mail.html}
    return found.pop()


def test_a_marketing_mail_is_tracked_and_has_the_link_that_no_reader_sees(
    database: Database,
) -> None:
    mail = sent(database)

    assert is_tracked(mail)
    assert mail.html.count("display:none") == 1
    assert mail.html.index("aria-hidden") < mail.html.index("</body>")
    assert "aria-hidden" not in mail.text


def test_a_transactional_mail_has_no_hidden_link(database: Database) -> None:
    mail = sent(database, topic="orders")

    assert is_tracked(mail)
    assert "aria-hidden" not in mail.html


def test_a_topic_may_say_that_nothing_is_counted(database: Database) -> None:
    mail = sent(database, settings=NO_TRACK, topic="orders")

    assert not is_tracked(mail)


@pytest.mark.parametrize(
    ("settings", "said", "expected"),
    [
        (SETTINGS, {"tracking": False}, False),
        (SETTINGS, {"tracking": True}, True),
        (ASKED, {}, False),
        (ASKED, {"tracking": True}, True),
        (ASKED.replace("unknown: refuse", "unknown: allow"), {}, True),
        (ASKED.replace("unknown: refuse", "unknown: allow"), {"tracking": False}, False),
    ],
)
def test_a_person_may_say_that_nothing_is_counted(
    database: Database, settings: str, said: dict[str, bool], expected: bool
) -> None:
    mail = sent(database, settings=settings, said=said)

    assert is_tracked(mail) is expected


def test_what_is_not_tracked_has_no_hidden_link_either(database: Database) -> None:
    assert "aria-hidden" not in sent(database, said={"tracking": False}).html
