"""Double opt-in: a claimed consent is a question, mailed by the outbox, answered by a POST."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine.cli import main
from engine.consent.confirming import confirm, question
from engine.consent.standing import Terms as Choices
from engine.consent.unsubscribe import withdraw
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.intake.consent_requests import MAILS_MAX
from engine.intake.declared import declared
from engine.intake.prepare import Answer, Terms, prepare
from engine.release.checking import check_providers, compile_templates
from engine.store.database import Database
from engine.store.events import EventLog
from tests.campaigns.build import SETTINGS, files, problems_of
from tests.engine.shop_stage import Shop
from tests.engine.web_harness import App, an_app

DOUBLE = SETTINGS.replace(
    "offers: {title: Offers}",
    "offers: {title: Offers, opt_in: double, confirm: {channel: email, template: agree}}",
)
FILES = {
    "antiphon.yaml": DOUBLE,
    "templates/email/agree.html": '---\nsubject: Really?\n---\n<a href="{{ confirm_url }}">Yes</a>',
    "campaigns/nudge.yaml": """\
        campaign: nudge
        trigger: {event: Product Added, key: properties.cart_id}
        topic: offers
        journey: [{send: {channel: email, template: remind}}]
    """,
}
TERMS = Choices(("offers",), frozenset({"email", "sms"}), double=frozenset({"offers"}))


class Signup:
    """A shop whose offers are agreed to twice, and one person who signs up."""

    def __init__(self, database: Database, **changed: str) -> None:
        self.shop = Shop(database, FILES | changed)
        self.shop.send({"type": "identify", "userId": "u1", "traits": {"email": "u1@x.example"}})

    def claim(
        self, *, key: Any = "browser", user: str = "u1", anonymous: str = "", **context: Any
    ) -> list[Answer]:
        consent = {"email": {"offers": True}}
        call = {
            "type": "identify", "userId": user, "anonymousId": anonymous,
            "messageId": f"{user}{self.shop.now}",
            "context": {"consent": consent} | context,
        }  # fmt: skip
        terms = Terms(declared=declared(self.shop.workspace), entropy=lambda n: b"x" * n, key=key)
        given = prepare(
            msgspec.json.encode({"batch": [call]}),
            kind="batch", terms=terms, received_at=self.shop.now,
        )  # fmt: skip
        with self.shop.database.write() as connection:
            answers = self.shop.ingest().commit(connection, [given], now=self.shop.now)[0]
        self.shop.settle()
        self.shop.drain("email")
        return answers

    def questions(self) -> list[int]:
        """The messages that asked, as the provider got them."""
        return [it.id for it in self.shop.email.calls if it.campaign == "confirm-offers"]

    def confirm(self, message: int) -> str:
        with self.shop.database.write() as connection:
            found = confirm(
                connection, message=message, terms=TERMS, log=self.shop.log, now=self.shop.now
            )
        assert found is not None
        return found.state

    def offer(self, cart: str) -> tuple[Any, ...]:
        """What becomes of an offer to them now."""
        self.shop.track("u1", "Product Added", cart_id=cart)
        self.shop.settle()
        rows = self.shop.rows(
            "SELECT status, reason FROM message WHERE campaign = 'nudge' ORDER BY id DESC LIMIT 1"
        )
        return tuple(rows[0])

    def ledger(self) -> list[Any]:
        return self.shop.rows("SELECT granted, source, proof FROM consent_change ORDER BY id")


def test_a_claimed_consent_grants_nothing_until_its_person_has_confirmed_it(
    database: Database,
) -> None:
    signup = Signup(database)
    (answer,) = signup.claim()
    before = signup.offer("c1")
    (asked,) = signup.questions()
    mail = signup.shop.email.calls[0]

    state = signup.confirm(asked)
    after = signup.offer("c2")

    assert answer.status == "accepted"
    assert answer.ignored == []
    assert re.search(r'href="https://shop\.example/confirm/[\w-]{39}"', mail.html)
    assert mail.unsubscribe_url == ""
    assert before == ("dropped", "consent for offers by email is not confirmed")
    assert state == "confirmed"
    assert after[0] == "queued"
    proof = f"confirmation link of message {asked}"
    assert signup.ledger() == [(1, "confirmation link", proof)]
    names = [row[0] for row in signup.shop.rows("SELECT name FROM event ORDER BY seq")]
    assert names.count("Consent Requested") == names.count("Consent Confirmed") == 1


def test_what_silence_means_elsewhere_is_no_yes_here(database: Database) -> None:
    allowing = DOUBLE.replace("unknown: refuse", "unknown: allow")
    signup = Signup(database, **{"antiphon.yaml": allowing})

    assert signup.offer("c1") == ("dropped", "consent for offers by email is not confirmed")


def test_a_second_request_within_an_hour_sends_no_second_mail_and_there_is_an_end(
    database: Database,
) -> None:
    signup = Signup(database)
    counts = []

    for wait in (0, 59 * MINUTE, MINUTE, HOUR, HOUR, DAY, 7 * DAY):
        signup.shop.now += wait
        signup.claim()
        counts.append(len(signup.questions()))

    assert counts == [1, 1, 2, 3, MAILS_MAX, MAILS_MAX, MAILS_MAX + 1]


def test_a_mail_may_ask_for_texts_to_a_number_that_comes_later(database: Database) -> None:
    signup = Signup(database)
    signup.claim(consent={"sms": {"offers": True}})
    (asked,) = signup.questions()

    state = signup.confirm(asked)
    signup.shop.settle()

    assert state == "confirmed"
    rows = signup.shop.rows("SELECT consent FROM profile")
    assert rows == [('{"sms":{"offers":true}}',)]


def test_what_the_api_refused_for_all_topics_no_link_takes_back(database: Database) -> None:
    signup = Signup(database)
    signup.claim()
    (asked,) = signup.questions()
    refusal = {"traits": {"consent": {"email": {"*": False}}}}
    signup.shop.send({"type": "identify", "userId": "u1", **refusal})
    signup.shop.settle()

    assert signup.confirm(asked) == "expired"
    assert signup.offer("c1")[0] == "dropped"


def test_whoever_said_no_is_asked_once(database: Database) -> None:
    signup = Signup(database)
    signup.claim()
    (asked,) = signup.questions()
    signup.confirm(asked)
    signup.shop.now += HOUR
    with database.write() as connection:
        withdraw(
            connection, message=asked, scope="all", log=EventLog(), now=signup.shop.now, proof="x"
        )
    refused = signup.offer("c1")

    for _ in range(4):
        signup.shop.now += 2 * HOUR
        signup.claim()
    state = signup.confirm(signup.questions()[-1])

    assert refused[0] == "dropped"
    assert len(signup.questions()) == 2
    assert state == "confirmed"
    assert signup.offer("c2")[0] == "queued"


def test_who_has_agreed_is_not_asked_again(database: Database) -> None:
    signup = Signup(database)
    signup.claim()
    signup.confirm(signup.questions()[0])

    signup.shop.now += 2 * DAY
    signup.claim()
    signup.claim(key="server")

    assert len(signup.questions()) == 1


def test_a_question_goes_with_its_person_when_two_profiles_turn_out_to_be_one(
    database: Database,
) -> None:
    signup = Signup(database)
    traits = {"email": "u1@x.example"}
    signup.shop.send({"type": "identify", "userId": "", "anonymousId": "a1", "traits": traits})
    signup.claim(user="", anonymous="a1")
    (asked,) = signup.questions()
    signup.shop.send({"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {}})
    signup.shop.settle()
    merged = signup.shop.rows("SELECT count(*) FROM profile WHERE merged_into IS NOT NULL")

    state = signup.confirm(asked)

    assert merged == [(1,)]
    assert state == "confirmed"
    assert signup.offer("c1")[0] == "queued"
    assert signup.shop.rows("SELECT count(*) FROM consent_request") == [(0,)]


def test_a_server_that_says_how_they_confirmed_is_believed(database: Database) -> None:
    signup = Signup(database)

    signup.claim(key="server", consentProof="paper form 12, signed 2026-03-01")

    assert signup.questions() == []
    assert signup.ledger() == [(1, "identify", "paper form 12, signed 2026-03-01")]
    assert signup.offer("c1")[0] == "queued"


def test_a_browser_cannot_bring_its_own_proof_nor_a_no(database: Database) -> None:
    signup = Signup(database)

    signup.claim(consentProof="trust me")
    (answer,) = signup.claim(
        consent={"email": {"offers": False, "news": True}}, user="u2", traits={}
    )

    assert signup.ledger() == []
    assert set(answer.ignored) == {"context.consent.email.offers", "context.consent.email.news"}


def test_a_link_expires_after_a_week_and_an_old_address_confirms_nothing(
    database: Database,
) -> None:
    signup = Signup(database)
    signup.claim()
    (first,) = signup.questions()
    signup.shop.now += 7 * DAY
    expired = signup.confirm(first)
    signup.claim()
    second = signup.questions()[-1]
    signup.shop.send({"type": "identify", "userId": "u1", "traits": {"email": "new@x.example"}})
    signup.shop.settle()

    stale = signup.confirm(second)

    assert (expired, stale) == ("expired", "expired")
    assert signup.ledger() == []


def test_a_message_that_asks_nothing_confirms_nothing_nor_one_that_only_says_it_does(
    database: Database,
) -> None:
    transactional = FILES["campaigns/nudge.yaml"].replace("topic: offers", "topic: orders")
    signup = Signup(database, **{"campaigns/nudge.yaml": transactional})
    signup.offer("c1")
    signup.shop.track("u1", "Product Added", cart_id="c2", confirms="email:offers")
    signup.shop.settle()
    (plain,), (forged,) = signup.shop.rows("SELECT id FROM message ORDER BY id")

    with database.read() as connection:
        found = question(connection, message=plain, now=signup.shop.now)

    assert found is None
    assert signup.confirm(forged) == "expired"
    assert signup.ledger() == []


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (
            SETTINGS.replace("{title: Offers}", "{confirm: {channel: email, template: code}}"),
            "opt_in",
        ),
        (
            SETTINGS.replace("{transactional: true}", "{transactional: true, opt_in: double}"),
            "opt_in",
        ),
        (DOUBLE.replace("template: agree", "template: agre"), "agre"),
    ],
)
def test_what_cannot_be_asked_is_refused(settings: str, word: str) -> None:
    problems = problems_of(FILES | {"antiphon.yaml": settings})

    assert problems != []
    assert all("antiphon.yaml" in it and word in it for it in problems)


def test_a_message_that_asks_without_a_link_is_refused_at_its_line() -> None:
    mute = {"templates/email/agree.de.html": "---\nsubject: Wirklich?\n---\n<p>Ja?</p>"}
    workspace = load_bundle(files(FILES | mute), environ={})

    with pytest.raises(InvalidWorkspace) as refused:
        check_providers(workspace, compile_templates(workspace))

    (problem,) = refused.value.problems
    assert str(problem) == (
        'antiphon.yaml:3: the template "agree" asks for a consent and has no way to give it (de). '
        "Link to {{ confirm_url }}."
    )


def test_a_whole_life_on_the_command_line(tmp_path: Path, capsys: Any) -> None:
    for path, content in files(FILES).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    done = [main([word, str(tmp_path)]) for word in ("check", "plan", "apply", "plan")]

    assert done == [0, 1, 0, 0]  # a plan that changes something says so
    said = capsys.readouterr().out
    assert "confirm-offers" in said
    assert said.rstrip().endswith("Nothing to do: the live release equals these files.")


@contextmanager
def web(signup: Signup, directory: Path) -> Iterator[App]:
    program: Program = signup.shop.playbook.program
    with an_app(signup.shop.database, directory, program=program) as app:
        app.services.clock = lambda: signup.shop.now
        yield app


def test_the_page_asks_and_only_its_button_signs_up_twice_is_fine(
    database: Database, tmp_path: Path
) -> None:
    signup = Signup(database)
    signup.claim()
    (asked,) = signup.questions()
    with web(signup, tmp_path) as app:
        path = f"/confirm/{app.token('confirm', asked)}"

        pages = [app.client.get(path), app.client.head(path)]
        untouched = signup.ledger()
        answers = [app.client.post(path) for _ in range(2)]
        late = app.client.get(path)

    assert [page.status_code for page in pages] == [200, 200]
    assert "<button" in pages[0].text
    assert "Offers" in pages[0].text
    assert untouched == []
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text == answers[1].text == late.text
    assert "<button" not in late.text
    assert len(signup.ledger()) == 1
