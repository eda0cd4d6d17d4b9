"""Reports of delivery that we ask for (DSN), and the bounce that comes back to its message."""

import socketserver
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import dkim
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.base import Accepted
from channels.email.returned import read_returned
from channels.email.verp import message_in, return_path
from engine.core.errors import UsageError
from tests.channels.postfix_server import postfix, smtp_sink
from tests.channels.test_email_dkim import key, pem, record
from tests.channels.test_smtp import NOW, Mailbox, a_server, an_email, bytes_of, deliver

BOUNCES = {"bounce_domain": "b.shop.example", "bounce_secret": "test-secret"}
PATH = return_path(7, domain="b.shop.example", secret="test-secret")


def test_each_message_has_a_return_path_of_its_own() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        receipts = deliver(port, an_email(7), an_email(8), **BOUNCES)

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    paths = {str(it.mail_from) for it in mailbox.envelopes}
    named = {message_in(path, domain="b.shop.example", secrets=["test-secret"]) for path in paths}
    assert named == {7, 8}
    assert PATH in paths
    # Whoever reads the mail sees us, not the machinery.
    assert all(b'From: "Shop" <hello@shop.example>' in bytes_of(it) for it in mailbox.envelopes)


def test_a_return_path_without_a_secret_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"channels\.email\.bounce_secret is empty"):
        deliver(1, an_email(7), bounce_domain="b.shop.example")


def test_a_bounce_domain_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"channels\.email\.bounce_domain: the part after the @"):
        deliver(1, an_email(7), bounce_domain="b.example> X", bounce_secret="s")


def test_a_server_that_offers_no_reports_is_asked_for_none() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        deliver(port, an_email(7))

    options = " ".join(map(str, mailbox.envelopes[0].mail_options))
    assert "RET" not in options
    assert "ENVID" not in options


class Offering(socketserver.StreamRequestHandler):
    """A server that offers DSN and takes everything; aiosmtpd knows no such parameters."""

    def handle(self) -> None:
        assert isinstance(self.server, OfferingServer)
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            self.server.commands.append(line.decode().strip())
            match line[:4].upper():
                case b"EHLO":
                    self.wfile.write(b"250-test\r\n250 DSN\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self.wfile.write(b"250 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 ok\r\n")


class OfferingServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Offering)
        self.commands: list[str] = []


def test_reports_are_asked_for_in_the_words_of_the_extension() -> None:
    with OfferingServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        [receipt] = deliver(server.server_address[1], an_email(7, to="ada+news=x@example.com"))
        server.shutdown()

    assert isinstance(receipt, Accepted)
    assert "MAIL FROM:<hello@shop.example> RET=HDRS ENVID=m7" in server.commands
    asked = "NOTIFY=FAILURE,DELAY ORCPT=rfc822;ada+2Bnews+3Dx@example.com"
    assert f"RCPT TO:<ada+news=x@example.com> {asked}" in server.commands


def test_a_real_server_takes_the_reports_that_we_ask_for(tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port:
        [receipt] = deliver(port, an_email(7, to="ada+news=x@example.com"))

    [told] = [path.read_text() for path in tmp_path.iterdir()]
    assert isinstance(receipt, Accepted)
    assert "X-Mail-Args: <hello@shop.example> " in told
    assert "RET=HDRS ENVID=m7" in told
    asked = "NOTIFY=FAILURE,DELAY ORCPT=rfc822;ada+2Bnews+3Dx@example.com"
    assert f"X-Rcpt-Args: <ada+news=x@example.com> {asked}" in told


def test_a_mail_signed_by_us_is_verified_where_it_arrives(tmp_path: Path) -> None:
    mailbox = Mailbox()
    (tmp_path / "key.pem").write_bytes(pem(key()))
    given = {
        "dkim_domain": "shop.example",
        "dkim_selector": "s2026",
        "dkim_key_file": str(tmp_path / "key.pem"),
    }

    with a_server(mailbox) as port:
        deliver(port, an_email(7, subject="Grüße 🎻", text="Ümläut\n.dot\n\n\n"), **given)

    assert dkim.verify(bytes_of(mailbox.envelopes[0]), dnsfunc=record)


class Beyond(Mailbox):
    """The server behind the relay: knows nobody at example.com, and takes our bounces."""

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        self.rcpt = "550 5.1.1 no such user here" if address.endswith("@example.com") else "250 ok"
        return await super().handle_RCPT(server, session, envelope, address, options)


def test_a_real_postfix_sends_the_bounce_back_to_the_message_it_is_about() -> None:
    beyond = Beyond()

    with a_server(beyond) as next_port, postfix(next_port) as port:
        receipts = deliver(port, an_email(7), an_email(8, to="bob@elsewhere.example"), **BOUNCES)
        until = time.monotonic() + 20
        while len(beyond.envelopes) < 2 and time.monotonic() < until:
            time.sleep(0.05)

    # The relay took both; one arrived, the other came back from nobody, to its own address.
    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    bounced = [it for it in beyond.envelopes if it.rcpt_tos == [PATH]]
    assert [it.rcpt_tos for it in beyond.envelopes if it not in bounced] == [
        ["bob@elsewhere.example"]
    ]
    [report] = bounced
    assert report.mail_from == "<>"  # never to be answered
    [event] = read_returned(
        bytes_of(report),
        message=message_in(report.rcpt_tos[0], domain="b.shop.example", secrets=["test-secret"]),
        now=NOW,
    )
    assert (event.kind, event.bounce_class, event.code) == ("bounced", "hard", "5.1.1")
    assert (event.message, event.recipient) == (7, "p7@example.com")
    whole = message_from_bytes(bytes_of(report), policy=policy.default)
    assert "Original-Envelope-Id: m7" in whole.as_string()
    # RET=HDRS: our text is not sent round the world again.
    assert "Hi Ada" not in whole.as_string()
