"""Bounces, complaints and automatic answers, as real servers write them."""

from textwrap import dedent

import pytest

from channels.email.returned import MAIL_BYTES_MAX, read_returned
from engine.core.errors import Unreadable

NOW = 1_772_445_600_000_000  # 2026-03-02T10:00:00Z


def a_bounce(
    *, action: str = "failed", status: str = "5.1.1", diagnostic: str = "smtp; 550 5.1.1 unknown"
) -> bytes:
    """As Postfix writes it; the names are ours."""
    text = f"""\
        Return-Path: <>
        Date: Mon, 02 Mar 2026 09:00:00 +0000
        From: MAILER-DAEMON@mx.example (Mail Delivery System)
        Subject: Undelivered Mail Returned to Sender
        To: bounce+7=abc@bounce.shop.example
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status; boundary="B/mx"

        --B/mx
        Content-Description: Notification
        Content-Type: text/plain; charset=us-ascii

        This is the mail system at host mx.example.

        --B/mx
        Content-Description: Delivery report
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mx.example
        Original-Envelope-Id: m7
        X-Postfix-Queue-ID: 4A2B
        Arrival-Date: Mon, 02 Mar 2026 08:59:58 +0000

        Final-Recipient: rfc822; ada@example.com
        Original-Recipient: rfc822;ada@example.com
        Action: {action}
        Status: {status}
        Remote-MTA: dns; mail.example.com
        Diagnostic-Code: {diagnostic}

        --B/mx
        Content-Description: Undelivered Message Headers
        Content-Type: text/rfc822-headers

        Subject: Your cart

        --B/mx--
        """
    return dedent(text).replace("\n", "\r\n").encode()


def test_a_bounce_becomes_an_event_with_its_code_class_and_recipient() -> None:
    (event,) = read_returned(a_bounce(), message=7, now=NOW)

    assert (event.kind, event.message, event.code, event.bounce_class) == (
        "bounced", 7, "5.1.1", "hard",
    )  # fmt: skip
    assert event.recipient == "ada@example.com"
    assert event.reason == "550 5.1.1 unknown"
    assert event.at == NOW - 3_600_000_000


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        ("5.1.1", "smtp; 550 5.1.1 no such user", "hard"),
        ("5.2.1", "smtp; 550 mailbox disabled", "hard"),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", "soft"),
        ("4.2.2", "smtp; 452 4.2.2 mailbox full", "soft"),
        ("4.4.1", "X-Postfix; connect to example.com: Connection timed out", "soft"),
        ("5.7.1", "smtp; 550 5.7.1 blocked by policy", "block"),
        ("5.7.26", "smtp; 550-5.7.26 unauthenticated", "block"),
        ("5.3.4", "smtp; 552 5.3.4 message too big", "message"),
        # A status of 5.0.0 says nothing; the server's own words do.
        ("5.0.0", "smtp; 550 5.1.1 user unknown", "hard"),
        ("5.0.0", "smtp; 550 <x@example.com> user unknown", "hard"),
        ("5.0.0", "smtp; 554 transaction failed", "block"),
        ("5.0.0", "smtp; 550 sorry", "undetermined"),
        ("", "smtp; 451 greylisted", "soft"),
    ],
)
def test_bounces_are_classed_by_status_then_by_the_servers_words(
    status: str, diagnostic: str, expected: str
) -> None:
    (event,) = read_returned(a_bounce(status=status, diagnostic=diagnostic), message=7, now=NOW)

    assert event.bounce_class == expected
    assert "x@example.com" not in event.reason


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("delayed", "deferred"),
        ("delivered", "delivered"),
        ("relayed", "sent"),
        ("Failed", "bounced"),
        ("misplaced", "unknown"),
    ],
)
def test_other_actions_are_no_bounces(action: str, kind: str) -> None:
    (event,) = read_returned(a_bounce(action=action, status="4.4.1"), message=7, now=NOW)

    assert event.kind == kind
    assert (event.bounce_class is not None) == (kind == "bounced")


def test_a_report_about_several_recipients_is_an_event_for_each() -> None:
    raw = a_bounce().replace(
        b"\r\n--B/mx\r\nContent-Description: Undelivered",
        b"\r\nFinal-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.2.2\r\n"
        b"\r\n--B/mx\r\nContent-Description: Undelivered",
    )

    events = read_returned(raw, message=7, now=NOW)

    assert [(it.recipient, it.bounce_class) for it in events] == [
        ("ada@example.com", "hard"),
        ("bob@example.com", "soft"),
    ]
    assert len({it.event_id for it in events}) == 2


def test_the_same_mail_delivered_twice_is_the_same_event() -> None:
    first, again = (read_returned(a_bounce(), message=7, now=now) for now in (NOW, NOW + 1))

    assert [it.event_id for it in first] == [it.event_id for it in again]


def test_a_feedback_loops_report_is_a_complaint() -> None:
    raw = dedent("""\
        From: <feedback@mail.example>
        Date: Mon, 02 Mar 2026 09:00:00 +0000
        Subject: FW: Your cart
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=feedback-report; boundary="F"

        --F
        Content-Type: text/plain

        This is an e-mail abuse report.

        --F
        Content-Type: message/feedback-report

        Feedback-Type: abuse
        User-Agent: SomeGenerator/1.0
        Version: 1
        Original-Rcpt-To: <ada@example.com>

        --F
        Content-Type: message/rfc822

        Subject: Your cart

        --F--
        """).encode()

    (event,) = read_returned(raw, message=7, now=NOW)

    assert (event.kind, event.message, event.recipient) == ("complained", 7, "ada@example.com")
    (opted_out,) = read_returned(raw.replace(b"abuse\n", b"opt-out\n"), message=7, now=NOW)
    assert opted_out.kind == "unsubscribed"


@pytest.mark.parametrize(
    "header", ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Precedence: bulk"]
)
def test_an_automatic_answer_is_told_from_a_persons(header: str) -> None:
    mail = f"From: a@example.com\n{header}\nSubject: Out of office\n\nUntil Monday.\n"
    by_hand = "From: a@example.com\nSubject: Re: Your cart\n\nThanks!\n"

    (answer,) = read_returned(mail.encode(), message=7, now=NOW)
    (person,) = read_returned(by_hand.encode(), message=7, now=NOW)

    assert answer.kind == "autoresponded"
    assert person.kind == "unknown"


@pytest.mark.parametrize("raw", [b"", b"\r\n\r\nhello", b"\x00" * 10])
def test_what_is_no_mail_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="no mail"):
        read_returned(raw, message=None, now=NOW)


def test_a_mail_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(Unreadable, match="at most"):
        read_returned(b"Subject: x\r\n\r\n" + b"x" * MAIL_BYTES_MAX, message=None, now=NOW)


def test_a_report_of_endless_parts_ends() -> None:
    head = b'Subject: x\nContent-Type: multipart/mixed; boundary="B"\n\n'
    part = b"--B\nContent-Type: text/plain\n\nx\n"
    raw = head + part * 20_000 + b"--B--\n"

    events = read_returned(raw, message=7, now=NOW)

    assert [it.kind for it in events] == ["unknown"]


def test_a_date_in_the_future_is_not_believed() -> None:
    raw = a_bounce().replace(b"Mon, 02 Mar 2026 09:00:00", b"Mon, 02 Mar 2037 09:00:00", 1)

    (event,) = read_returned(raw, message=7, now=NOW)

    assert event.at == NOW
