"""What we write by hand, read back by the standard library."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.base import OutMessage
from channels.email.headers import Refusal, Sender, id_in
from channels.email.mime import build_email

NOW = 1_772_445_600_000_000
SENDER = Sender(domain="mail.shop.example", from_="Shop <hello@shop.example>")
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85"),
    max_size=300,
)


def build(sender: Sender = SENDER, **changes: Any) -> bytes:
    given_: dict[str, Any] = {"to": "ada@example.com", "subject": "Hi", "text": "a", "html": "<p>a"}
    return build_email(OutMessage(42, "email", **{**given_, **changes}), sender=sender, at=NOW)


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    assert all(not part.defects for part in message.walk())
    return message


def test_marketing_mail_has_every_header_of_one_click_unsubscribe() -> None:
    sender = Sender(
        domain="mail.shop.example",
        from_="Shop <hello@shop.example>",
        feedback="shopmail",
        unsubscribe_mailbox="stop@shop.example",
    )

    message = parsed(
        build(sender, unsubscribe_url="https://u.example/u/t", campaign="win back", topic="offers")
    )

    assert message["Date"] == "Mon, 02 Mar 2026 10:00:00 +0000"
    assert message["From"].addresses[0].addr_spec == "hello@shop.example"
    assert message["List-Unsubscribe"] == (
        "<https://u.example/u/t>, <mailto:stop@shop.example?subject=unsubscribe>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<offers.mail.shop.example>"
    assert message["Feedback-ID"] == "win-back:offers:marketing:shopmail"
    assert message["Auto-Submitted"] is None
    assert id_in(message["Message-ID"]) == 42
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_transactional_mail_says_it_is_automatic_and_has_no_list() -> None:
    message = parsed(build())

    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] is None


@given(TEXTS)
def test_any_subject_reads_back_as_it_was(subject: str) -> None:
    message = parsed(build(subject=subject))

    assert " ".join(message["Subject"].split()) == " ".join(subject.split())


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2000).filter(str.strip))
def test_any_text_reads_back_and_no_line_is_too_long(text: str) -> None:
    raw = build(text=text, html="<p>" + text)

    part = parsed(raw).get_body(("plain",))
    assert part is not None
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert content.decode().replace("\r\n", "\n") == plain
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_names_and_domains_beyond_ascii_are_encoded() -> None:
    message = parsed(
        build(from_="Bücher, Ltd. <hallo@bücher.example>", reply_to='A "B" <b@example.com>')
    )

    assert message["From"].addresses[0].display_name == "Bücher, Ltd."
    assert message["From"].addresses[0].addr_spec == "hallo@xn--bcher-kva.example"
    assert message["Reply-To"].addresses[0].addr_spec == "b@example.com"


def test_answers_go_where_the_message_says_or_else_the_channel() -> None:
    sender = Sender(domain="m.example", from_="a@b.example", reply_to="help@b.example")

    assert parsed(build(sender))["Reply-To"] == "help@b.example"
    assert parsed(build(sender, reply_to="x@b.example"))["Reply-To"] == "x@b.example"


def test_a_message_with_one_part_has_one_part() -> None:
    assert parsed(build(html="")).get_content_type() == "text/plain"
    assert parsed(build(text="")).get_content_type() == "text/html"
    with pytest.raises(Refusal, match="neither a text nor an HTML part"):
        build(text="", html="")


@pytest.mark.parametrize(
    "injected", ["a\r\nBcc: x@y.zz", "a\nb", "a\rb", "a\x00b", "a\x0bb", "a\x7f"]
)
@pytest.mark.parametrize(
    "field", ["subject", "to", "from_", "reply_to", "unsubscribe_url", "header"]
)
def test_control_characters_never_reach_a_header(field: str, injected: str) -> None:
    changes: dict[str, Any] = {field: injected}
    if field == "header":
        changes = {"headers": {"X-Note": injected}}
    if field in ("to", "from_", "reply_to"):
        changes = {field: f"{injected} <ada@example.com>"}
    if field == "unsubscribe_url":
        changes = {field: f"https://u.example/{injected}"}

    with pytest.raises(Refusal) as refusal:
        build(**changes)

    assert "x@y.zz" not in str(refusal.value)


def test_campaign_topic_and_key_cannot_inject_either() -> None:
    evil = "a\r\nBcc: x@y.zz"
    sender = Sender(domain="m.example", from_="a@b.example", feedback="shopmail")

    message = parsed(
        build(
            sender, campaign=evil, topic=evil, idempotency_key=evil, unsubscribe_url="https://u.x/"
        )
    )

    assert message["Bcc"] is None
    assert message["List-Id"] == "<a-Bcc-x-y-zz.m.example>"


def test_a_message_may_add_headers_but_not_ours() -> None:
    assert parsed(build(headers={"X-Shop": "ä" * 100}))["X-Shop"] == "ä" * 100
    for name in ("Bcc", "from", "List-Unsubscribe", "X Y", "X:Y", ""):
        with pytest.raises(Refusal, match="not a header that a message may set"):
            build(headers={name: "x"})


def test_a_sender_must_be_known() -> None:
    with pytest.raises(Refusal, match="has no sender"):
        build(Sender(domain="m.example"))
