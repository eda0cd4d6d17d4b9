"""Webhook steps end to end: a real server, the real outbox, both databases, and crashes between."""

from collections.abc import Iterator

import pytest

from engine import failpoints
from engine.core.model.instants import HOUR, MINUTE
from engine.failpoints import Crash
from engine.store.database import Database
from engine.story import message_story, told
from tests.engine.shop_stage import Asked, Server, Shop, a_server

CAMPAIGN = """\
campaign: nudge
trigger: {{event: Product Added}}
topic: offers
journey:
  - webhook:
      url: "{url}/stock/{{{{ event.cart_id }}}}"
      headers: {{Authorization: "Bearer ${{env:SHOP_TOKEN:-none}}"}}
      body: {{cart: "{{{{ event.cart_id }}}}", value: "{{{{ event.cart_value }}}}"}}
      save_as: reply
      timeout: 2s
      on_error: {on_error}
    id: ask
  - send: {{channel: email, template: remind}}
    id: mail
"""
REFUSED = "webhook.http refused it (http 404): no"
TEMPLATE = "---\nsubject: Hello\n---\n<p>{{ reply.code }}</p>"


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as made:
        yield made


def a_shop(database: Database, server: Server, *, on_error: str = "exit") -> Shop:
    shop = Shop(
        database,
        {
            "campaigns/nudge.yaml": CAMPAIGN.format(url=server.url, on_error=on_error),
            "templates/email/remind.html": TEMPLATE,
        },
    )
    shop.identify("u1")
    shop.track("u1", "Product Added", cart_id="c1", cart_value=40)
    shop.settle()
    return shop


def test_the_answer_of_a_real_server_stands_in_the_mail(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    server.answers = [(200, b'{"code": "SPRING"}')]
    shop = a_shop(database, server)

    shop.drain("webhook")
    shop.settle()
    shop.drain("email")

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/stock/c1")
    assert asked.body == {"cart": "c1", "value": 40}
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert asked.headers["content-type"] == "application/json"
    assert shop.messages("webhook") == [("sent", "")]
    assert "SPRING" in shop.email.calls[0].html
    assert shop.enrollments() == [("done", None, "finished")]
    # The secret is filled in for the call and stands in no row.
    assert "s3cret" not in str(shop.rows("SELECT * FROM message")) + str(
        shop.rows("SELECT * FROM attempt")
    )


def test_the_story_of_a_call_names_its_attempt_and_its_answer(
    database: Database, server: Server
) -> None:
    server.answers = [(200, b'{"code": "SPRING"}')]
    shop = a_shop(database, server)
    shop.drain("webhook")

    ((message,),) = shop.rows("SELECT id FROM message WHERE channel = 'webhook'")
    program, segments = shop.playbook.program, shop.playbook.segments
    with database.read() as connection:
        story = message_story(connection, message, program=program, segments=segments)

    assert story is not None
    moments = [(each.title, each.detail) for each in told(story)]
    assert ("The step asked for its call", "") in moments
    assert moments[-1] == (
        "Attempt 1 by webhook through webhook.http: accepted",
        'http 200 · {"code":"SPRING"}',
    )


def test_what_a_person_sends_is_never_read_as_the_name_of_a_secret(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    shop = a_shop(database, server)
    shop.track("u1", "Order Completed")
    shop.identify("u2")
    shop.track("u2", "Product Added", cart_id="${env:SHOP_TOKEN}", cart_value=1)
    shop.settle()

    shop.drain("webhook")

    assert {asked.body["cart"] for asked in server.asked} == {"c1", "${env:SHOP_TOKEN}"}
    assert all("s3cret" not in f"{asked.path} {asked.body}" for asked in server.asked)


def test_trouble_is_tried_again_with_the_same_key_until_it_is_over(
    database: Database, server: Server
) -> None:
    server.answers = [(500, b"down"), (503, b"still"), (200, b'{"code": "A"}')]
    shop = a_shop(database, server)

    for _ in range(3):
        shop.drain("webhook")
        shop.now += MINUTE
    shop.settle()

    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 3
    assert shop.messages("email") == [("queued", "")]


@pytest.mark.parametrize(
    ("on_error", "ended"),
    [
        ("exit", ("exited", "ask", f"the webhook ask failed: {REFUSED}")),
        ("continue", ("done", None, "finished")),
    ],
)  # fmt: skip
def test_a_refusal_is_final_and_does_what_on_error_says(
    database: Database, server: Server, on_error: str, ended: tuple[str, str | None, str]
) -> None:
    server.answers = [(404, b"no")]
    shop = a_shop(database, server, on_error=on_error)

    shop.drain("webhook")
    shop.settle()

    assert len(server.asked) == 1
    assert shop.messages("webhook") == [("failed", REFUSED)]
    assert shop.enrollments() == [ended]
    if on_error == "continue":
        assert shop.messages("email") == [("dropped", "missing value: reply.code")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"<html>", "its answer is not JSON"),
        (b'{"a": NaN}', "its answer is not JSON"),
        (b"[" * 40 + b"]" * 40, "its answer is nested more than 32 deep"),
        (b'"' + b"x" * 33_000 + b'"', "its answer has 33,002 bytes; at most 32,768 are kept"),
        (b'{"a": "\\ud800"}', "its answer holds text or numbers that cannot be kept"),
    ],
)
def test_an_answer_that_cannot_be_kept_is_a_failure(
    database: Database, server: Server, answer: bytes, why: str
) -> None:
    server.answers = [(200, answer)]
    shop = a_shop(database, server)

    shop.drain("webhook")
    shop.settle()

    ((status, reason),) = shop.messages("webhook")
    assert (status, reason.endswith(why)) == ("failed", True), reason
    assert shop.enrollments()[0][0] == "exited"


def test_a_server_that_never_answers_holds_nobody_for_ever(
    database: Database, server: Server
) -> None:
    server.seconds = 5.0
    shop = a_shop(database, server, on_error="exit")

    shop.drain("webhook")  # two seconds: the step's timeout
    shop.now += 2 * HOUR
    shop.settle()
    shop.drain("webhook")

    assert shop.enrollments() == [("exited", "ask", "the webhook ask failed: no answer in time")]
    ((status, reason),) = shop.messages("webhook")
    assert (status, reason) == ("unknown", "expired")


@pytest.mark.parametrize("place", ["bytes sent", "reply unread", "attempt commit"])
def test_a_crash_between_call_and_outcome_repeats_the_call_and_goes_on_once(
    database: Database, server: Server, place: str
) -> None:
    server.answers = [(200, b'{"code": "A"}')]
    shop = a_shop(database, server)

    with pytest.raises(Crash):
        dies_at(place, shop)
    shop.restart()
    shop.now += MINUTE
    shop.drain("webhook")
    shop.settle()

    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == (1 if place == "attempt commit" else 2)
    assert shop.messages("webhook") == [("sent", "")]
    assert len(shop.own_events("Webhook Answered")) == 1
    assert shop.messages("email") == [("queued", "")]


def test_a_crash_after_the_outcome_loses_no_answer(database: Database, server: Server) -> None:
    server.answers = [(200, b'{"code": "A"}')]
    shop = a_shop(database, server)

    with pytest.raises(Crash):
        dies_at("outcome commit", shop)
    shop.restart()
    shop.settle()

    assert len(server.asked) == 1
    assert shop.messages("email") == [("queued", "")]


def test_a_call_to_a_host_inside_our_network_is_refused(database: Database) -> None:
    inside = Server("https://169.254.169.254:443")
    shop = a_shop(database, inside)

    shop.drain("webhook")
    shop.settle()

    ((status, reason),) = shop.messages("webhook")
    assert status == "failed"
    assert "private networks are not reachable" in reason


def test_an_address_that_would_break_a_request_is_not_called(
    database: Database, server: Server
) -> None:
    shop = Shop(
        database,
        {
            "campaigns/nudge.yaml": CAMPAIGN.format(url=server.url, on_error="exit").replace(
                "Bearer ${env:SHOP_TOKEN:-none}", "{{ event.cart_id }}"
            ),
            "templates/email/remind.html": TEMPLATE,
        },
    )
    shop.identify("u1")
    shop.track("u1", "Product Added", cart_id="c1\r\nX-Evil: 1", cart_value=1)
    shop.settle()

    shop.drain("webhook")
    shop.settle()

    assert server.asked == list[Asked]()
    assert shop.messages("webhook") == [
        ("dropped", "headers.Authorization holds a control character")
    ]
    assert shop.enrollments()[0][2].startswith("the webhook ask failed: headers.Auth")


def test_an_answer_for_two_profiles_that_became_one_reaches_the_journey(
    database: Database, server: Server
) -> None:
    server.answers = [(200, b'{"code": "A"}')]
    shop = Shop(
        database,
        {
            "campaigns/nudge.yaml": CAMPAIGN.format(url=server.url, on_error="exit"),
            "templates/email/remind.html": TEMPLATE,
        },
    )
    shop.identify("u1")
    shop.send({"type": "track", "anonymousId": "a1", "event": "Product Added",
               "properties": {"cart_id": "c1", "cart_value": 2}})  # fmt: skip
    shop.settle()
    shop.send({"type": "track", "anonymousId": "a1", "userId": "u1", "event": "Order Viewed"})
    shop.settle()

    shop.drain("webhook")
    shop.settle()

    assert shop.enrollments() == [("done", None, "finished")]
    assert shop.messages("email") == [("queued", "")]


def dies_at(place: str, shop: Shop) -> None:
    def die(name: str) -> None:
        if name == place:
            raise Crash

    failpoints.install(die)
    try:
        shop.drain("webhook")
    finally:
        failpoints.install(None)
