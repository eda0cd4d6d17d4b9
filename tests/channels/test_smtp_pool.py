"""Connections that are kept: used again without asking, replaced when the server has hung up."""

import asyncio
import random
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from channels import open_provider
from channels.base import Accepted, NotSent, OutMessage, Receipt, RefusedBy
from tests.channels.test_smtp import NOW, Mailbox, a_server, an_email, hang_up


class Counting(Mailbox):
    """Counts the commands of each connection."""

    def __init__(self, **answers: str) -> None:
        super().__init__(**answers)
        self.commands: list[str] = []

    async def handle_RSET(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.commands.append("RSET")
        return "250 ok"


class OneMail(Mailbox):
    """Hangs up on whoever begins a second mail on the same connection."""

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if session.peer in self.peers:
            hang_up(server)
        return await super().handle_MAIL(server, session, envelope, address, options)


def in_turn(port: int, *messages: OutMessage, **settings: Any) -> list[Receipt]:
    async def one_by_one() -> list[Receipt]:
        provider = open_provider(
            "email",
            "smtp",
            {"url": f"smtp://127.0.0.1:{port}", "pool": 1, "timeout_seconds": 1.0, **settings},
            directory=Path("nowhere"),
            rng=random.Random(1),
            now=lambda: NOW,
        )
        try:
            return [await provider.deliver(message) for message in messages]
        finally:
            await provider.close()

    return asyncio.run(one_by_one())


def test_after_an_accepted_mail_the_next_one_begins_at_once() -> None:
    mailbox = Counting()

    with a_server(mailbox) as port:
        receipts = in_turn(port, an_email(1), an_email(2), an_email(3))

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    assert len(mailbox.peers) == 1
    assert mailbox.commands == []


def test_after_a_refused_mail_the_open_transaction_is_cleared() -> None:
    mailbox = Counting(rcpt="550 5.1.1 no such user")

    with a_server(mailbox) as port:
        receipts = in_turn(port, an_email(1), an_email(2))

    assert [type(receipt) for receipt in receipts] == [RefusedBy, RefusedBy]
    assert mailbox.commands == ["RSET"]


def test_a_kept_connection_that_is_hung_up_on_costs_no_mail() -> None:
    mailbox = OneMail()

    with a_server(mailbox) as port:
        receipts = in_turn(port, an_email(1), an_email(2), an_email(3))

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    assert [it.rcpt_tos for it in mailbox.envelopes] == [
        ["p1@example.com"], ["p2@example.com"], ["p3@example.com"],
    ]  # fmt: skip
    assert len(mailbox.peers) == 3


def test_a_new_connection_that_is_hung_up_on_is_not_tried_again() -> None:
    mailbox = Mailbox(rcpt="hang up")

    with a_server(mailbox) as port:
        receipts = in_turn(port, an_email(1), an_email(2))

    assert [type(receipt) for receipt in receipts] == [NotSent, NotSent]
