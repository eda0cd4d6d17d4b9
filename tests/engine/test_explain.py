"""P18: every send, deferral and drop can be explained, for every gate, from the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine

from channels.delivery import DeliveryEvent
from engine.hearing.feedback import take_in
from engine.opened import opened
from engine.steady import present
from engine.store.events import EventLog
from tests.engine.commanding import Antiphon, antiphon  # noqa: F401

SETTINGS = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, first_name: {type: string}, timezone: {type: timezone},
         plan: {type: string}}
channels:
  email:
    provider: sandbox
    from: shop@example.com
    write: none
    rates: {hard_bounce: 0, soft_bounce: 0}
quiet_hours: {from: "21:00", to: "09:00"}
caps: [{channel: email, max: 1, per: 1d}]
"""
CAMPAIGN = """\
campaign: NAME
trigger: {event: EVENT}
TOP
topic: offers
journey:
  - send: {channel: email, template: TEMPLATE}
    id: write
"""
PEOPLE: dict[str, dict[str, Any]] = {
    "sent": {},
    "unknown": {"consent": None},
    "refused": {"consent": False},
    "nowhere": {"email": None},
    "nameless": {"first_name": None, "event": "Named"},
    "capped": {"event": "Chosen", "also": "Asked"},
    "asleep": {"timezone": "Australia/Sydney"},
    "late": {"timezone": "Australia/Sydney", "event": "Rushed"},
    "silent": {"event": "Held"},
    "waiting": {"event": "Windowed"},
    "complained": {},
    "outside": {"event": "Chosen"},
}
NOON = "2026-03-02T12:00:00Z"


@pytest.fixture
def shop(tmp_path: Path, antiphon: Antiphon) -> Iterator[Path]:  # noqa: F811
    """A workspace in which each person of PEOPLE has met one gate."""
    folder = tmp_path / "shop"
    for name in ("campaigns", "templates/email", "segments"):
        (folder / name).mkdir(parents=True)
    (folder / "antiphon.yaml").write_text(SETTINGS)
    (folder / "segments" / "gold.yaml").write_text("segment: gold\nwhen: {trait: {plan: gold}}\n")
    mail = "---\nsubject: Hello\n---\n{} {{{{ unsubscribe_url }}}}\n"
    (folder / "templates" / "email" / "plain.txt").write_text(mail.format("Hello."))
    named = mail.format("Hello {{ profile.first_name }}.")
    (folder / "templates" / "email" / "named.txt").write_text(named)
    for name, event, template, top in (
        ("plain", "Asked", "plain", ""),
        ("named", "Named", "named", ""),
        ("rushed", "Rushed", "plain", "EXPIRES"),
        ("held", "Held", "plain", "holdout: 99%"),
        ("chosen", "Chosen", "plain", "audience: {segment: gold}"),
        ("windowed", "Windowed", "plain", 'send_window: {from: "14:00", to: "16:00"}'),
    ):
        text = CAMPAIGN.replace("NAME", name).replace("EVENT", event).replace("TEMPLATE", template)
        text = text.replace("TOP\n", f"{top}\n" if top and top != "EXPIRES" else "")
        if top == "EXPIRES":
            text = text.replace("template: plain}", "template: plain, expires: 1h}")
        (folder / "campaigns" / f"{name}.yaml").write_text(text)
    lines = []
    for number, (user, facts) in enumerate(PEOPLE.items()):
        traits = {"email": f"{user}@example.com", "first_name": "Ann", "plan": "gold", **facts}
        consent = traits.pop("consent", True)
        names = [traits.pop("event", "Asked"), traits.pop("also", "")]
        call = {"type": "identify", "userId": user, "messageId": f"i{number}", "timestamp": NOON}
        known = {key: value for key, value in traits.items() if value is not None}
        if consent is not None:
            known["consent"] = {"email": {"offers": consent}}
        lines.append({**call, "traits": known})
        for name in filter(None, names):
            asked = {"type": "track", "event": name, "messageId": f"t{number}-{name}"}
            lines.append({**call, **asked})
    events = tmp_path / "events.jsonl"
    events.write_text("\n".join(json.dumps(line) for line in lines))
    with time_machine.travel(NOON, tick=False) as clock:
        assert antiphon("apply", folder).code == 0
        loaded = antiphon("ingest", folder, events, "--json")
        assert loaded.json()["rejected"] == 0, loaded.out
        antiphon("tick", folder, "--until", NOON)
        clock.shift(60)
        yield folder


def story_of(antiphon: Antiphon, shop: Path, user: str, *, last: bool = False) -> tuple[str, Any]:  # noqa: F811
    """What `explain` says of the first (or last) message of a person: as text and as JSON."""
    listed = antiphon("messages", shop, "--json").json()["messages"]
    own = sorted(each["id"] for each in listed if each["profile"] == user)
    assert own, f"{user} has no message"
    id = own[-1 if last else 0]
    return antiphon("explain", id, shop).out, antiphon("explain", id, shop, "--json").json()


@pytest.mark.parametrize(
    ("user", "status", "words"),
    [
        ("unknown", "dropped", "consent for offers by email is unknown"),
        ("refused", "dropped", "no consent for offers by email"),
        ("nowhere", "dropped", "no email address"),
        ("nameless", "dropped", "missing value: profile.first_name"),
        ("asleep", "deferred", "quiet hours until 2026-03-02T22:00:00Z"),
        ("late", "dropped", "quiet hours until 2026-03-02T22:00:00Z, after it expires"),
        ("silent", "ghost", "held out by held"),
        ("waiting", "deferred", "send window opens 2026-03-02T14:00:00Z"),
    ],
)
def test_each_gate_that_says_no_is_named_with_its_reason(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    user: str,
    status: str,
    words: str,
) -> None:
    said, story = story_of(antiphon, shop, user)

    assert story["message"]["status"] == status
    assert story["message"]["reason"] == words
    assert f"{status}, because {words}" in said


def test_a_cap_is_named_with_its_next_opening_and_stays_in_the_story_once_it_opened(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
) -> None:
    before, _ = story_of(antiphon, shop, "capped", last=True)
    antiphon("tick", shop, "--until", "2026-03-03T13:00:00Z")

    after, story = story_of(antiphon, shop, "capped", last=True)

    why = "cap: 1 email in 1 day, next opening 2026-03-03T12:00:00Z"
    assert f"deferred, because {why}" in before
    assert story["message"]["status"] == "sent"
    assert [each["why"] for each in story["deferrals"]] == [why]
    assert why in after


def test_a_sent_message_tells_event_entry_gates_attempt_and_echo_in_order_of_time(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
) -> None:
    report(shop, "sent", "delivered")

    said, story = story_of(antiphon, shop, "sent")

    places = [
        said.index(word)
        for word in ("Asked", "Entered plain", "Every gate allowed it", "Attempt 1", "reports: ")
    ]
    assert places == sorted(places)
    assert [each["kind"] for each in story["callbacks"]] == ["delivered"]
    assert story["attempts"][0]["outcome"] == "accepted"


def test_a_suppressed_address_is_named_with_what_suppressed_it(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    tmp_path: Path,
) -> None:
    report(shop, "complained", "complained")
    again = tmp_path / "again.jsonl"
    again.write_text(
        json.dumps(
            {"type": "track", "userId": "complained", "event": "Chosen", "messageId": "again",
             "timestamp": NOON}
        )
    )  # fmt: skip
    antiphon("ingest", shop, again)
    antiphon("tick", shop, "--until", "2026-03-02T12:05:00Z")

    said, story = story_of(antiphon, shop, "complained", last=True)

    assert story["message"]["reason"] == "suppressed: complaint"
    assert "dropped, because suppressed: complaint" in said


def report(shop: Path, user: str, kind: Any) -> None:
    """The provider says something of the first message of a person."""
    with opened(shop) as it, it.database.write() as connection:
        (found,) = connection.execute(
            "SELECT m.id FROM message m JOIN profile p ON p.id = m.profile_id "
            "WHERE p.external_id = ? ORDER BY m.id LIMIT 1",
            (user,),
        )
        event = DeliveryEvent(kind, found[0], f"{user}-{kind}", present())
        take_in(connection, [event], provider="email.sandbox", log=EventLog(), now=present())


def test_the_segments_a_campaign_asks_about_are_told_with_what_was_found(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
) -> None:
    said, story = story_of(antiphon, shop, "outside")

    (verdict,) = story["verdicts"]
    assert (verdict["segment"], verdict["matches"]) == ("gold", True)
    assert "In gold: yes: trait plan is gold (gold)" in said
    assert "gold" in verdict["conditions"][0]["found"]
