"""Real SMTP: every outcome, against a real server on this machine."""

import asyncio
import datetime
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels import open_provider
from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt, RefusedBy, Throttled
from channels.email.headers import id_in
from engine.core.errors import UsageError

NOW = 1_772_445_600_000_000


def an_email(number: int = 1, **changes: Any) -> OutMessage:
    given: dict[str, Any] = {
        "to": f"p{number}@example.com",
        "subject": "Hello",
        "text": "Hi Ada\n.a line that starts with a dot\n",
        "html": "<p>Hi Ada</p>",
        "from_": "Shop <hello@shop.example>",
        "idempotency_key": f"key-{number}",
        "unsubscribe_url": "https://u.example/u/abc",
        **changes,
    }
    return OutMessage(number, "email", **given)


class Mailbox:
    """Answers as it is told, and keeps what it accepted."""

    def __init__(
        self, rcpt: str = "250 ok", data: str = "250 2.0.0 queued", mail: str = ""
    ) -> None:
        self.rcpt, self.data, self.mail = rcpt, data, mail
        self.envelopes: list[Envelope] = []
        self.peers: set[Any] = set()

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.mail:
            return self.mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.rcpt == "hang up":
            hang_up(server)
            return "421 bye"
        if self.rcpt.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.peers.add(session.peer)
        self.envelopes.append(envelope)
        if self.data == "hang up":
            hang_up(server)
        if self.data == "silence":
            await asyncio.sleep(3)
        return self.data


def hang_up(server: SMTP) -> None:
    transport = server.transport
    assert isinstance(transport, asyncio.Transport)
    transport.abort()


@contextmanager
def a_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kind = options.pop("server", SMTP)

    class Listening(Controller):
        def factory(self) -> SMTP:
            return cast(SMTP, kind(self.handler, **self.SMTP_kwargs))

    controller = Listening(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def bytes_of(envelope: Envelope) -> bytes:
    assert isinstance(envelope.content, bytes)
    return envelope.content


def deliver(
    port: int, *messages: OutMessage, url: str = "smtp://127.0.0.1:{}", **settings: Any
) -> list[Receipt]:
    async def all_of_them() -> list[Receipt]:
        provider = open_provider(
            "email",
            "smtp",
            {"url": url.format(port), "timeout_seconds": 1.0, **settings},
            directory=Path("nowhere"),
            rng=random.Random(1),
            now=lambda: NOW,
        )
        try:
            return list(await asyncio.gather(*map(provider.deliver, messages)))
        finally:
            await provider.close()

    return asyncio.run(all_of_them())


def test_an_accepted_message_arrives_whole_with_its_one_click_headers() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        [receipt] = deliver(port, an_email(7))

    arrived = message_from_bytes(bytes_of(mailbox.envelopes[0]), policy=policy.default)
    assert isinstance(receipt, Accepted)
    assert arrived["Message-ID"] == f"<{receipt.provider_id}>"
    assert id_in(arrived["Message-ID"]) == 7
    assert mailbox.envelopes[0].mail_from == "hello@shop.example"
    assert mailbox.envelopes[0].rcpt_tos == ["p7@example.com"]
    assert arrived["List-Unsubscribe"] == "<https://u.example/u/abc>"
    assert arrived["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = arrived.get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines() == ["Hi Ada", ".a line that starts with a dot"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("450 4.2.1 try later", Throttled(None, "450 4.2.1 try later", "recipient")),
        ("451 greylisted", Throttled(None, "451 greylisted")),
        (
            "550 5.1.1 <p1@example.com> user unknown",
            RefusedBy("recipient", "5.1.1", "5.1.1 <<address>> user unknown", "hard"),
        ),
        ("550 5.2.2 full", RefusedBy("recipient", "5.2.2", "5.2.2 full", "soft")),
        ("550 5.7.515 denied", RefusedBy("recipient", "5.7.515", "5.7.515 denied", "block")),
        ("552 too much", RefusedBy("recipient", "552", "too much", "block")),
        ("554 no", RefusedBy("recipient", "554", "no", "block")),
        ("550 no such user here", RefusedBy("recipient", "550", "no such user here", "hard")),
        ("550 no", RefusedBy("recipient", "550", "no", "undetermined")),
        ("530 5.7.0 login first", RefusedBy("config", "530", "5.7.0 login first")),
    ],
)
def test_a_refused_recipient_is_classed_by_its_code(answer: str, expected: Receipt) -> None:
    mailbox = Mailbox(rcpt=answer)

    with a_server(mailbox) as port:
        [receipt] = deliver(port, an_email())

    assert receipt == expected
    assert mailbox.envelopes == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("452 4.3.1 disk full", Throttled(None, "452 4.3.1 disk full")),
        ("554 5.7.26 no", RefusedBy("recipient", "5.7.26", "5.7.26 no", "block")),
        ("552 5.3.4 big", RefusedBy("message", "5.3.4", "5.3.4 big", "message")),
        ("550 5.6.0 odd", RefusedBy("message", "5.6.0", "5.6.0 odd", "message")),
    ],
)
def test_an_answer_to_the_body_is_an_answer_and_not_ambiguous(
    answer: str, expected: Receipt
) -> None:
    with a_server(Mailbox(data=answer)) as port:
        [receipt] = deliver(port, an_email())

    assert receipt == expected


def test_a_refused_sender_is_a_fault_of_the_configuration() -> None:
    with a_server(Mailbox(mail="550 5.7.1 not your domain")) as port:
        [receipt] = deliver(port, an_email())

    assert receipt == RefusedBy("config", "550", "5.7.1 not your domain")


def test_a_connection_lost_before_the_body_means_not_sent() -> None:
    with a_server(Mailbox(rcpt="hang up")) as port:
        [receipt] = deliver(port, an_email())

    assert isinstance(receipt, NotSent)


def test_a_connection_lost_at_the_word_data_means_not_sent() -> None:
    class HangsUpAtData(SMTP):
        async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
            hang_up(self)

    mailbox = Mailbox()
    with a_server(mailbox, server=HangsUpAtData) as port:
        [receipt] = deliver(port, an_email())

    assert isinstance(receipt, NotSent)
    assert mailbox.envelopes == []


def test_a_connection_lost_after_the_final_dot_is_ambiguous() -> None:
    mailbox = Mailbox(data="hang up")

    with a_server(mailbox) as port:
        [receipt] = deliver(port, an_email())

    assert isinstance(receipt, Ambiguous)
    assert len(mailbox.envelopes) == 1  # it did arrive: a retry would have been a duplicate


def test_no_answer_to_the_body_within_the_time_out_is_ambiguous() -> None:
    with a_server(Mailbox(data="silence")) as port:
        [receipt] = deliver(port, an_email())

    assert isinstance(receipt, Ambiguous)


def test_nobody_listening_means_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        [receipt] = deliver(port, an_email())

    assert isinstance(receipt, NotSent)
    assert "cannot connect" in receipt.why


def test_after_a_421_the_next_message_takes_a_new_connection() -> None:
    mailbox = Mailbox(data="421 4.3.2 closing")

    with a_server(mailbox) as port:
        receipts = deliver(port, an_email(1), an_email(2), pool=1)

    assert [type(receipt) for receipt in receipts] == [Throttled, Throttled]
    assert len(mailbox.peers) == 2


def test_a_mailbox_beyond_ascii_needs_a_server_that_takes_it() -> None:
    able, unable = Mailbox(), Mailbox()

    with a_server(able, enable_SMTPUTF8=True) as port:
        [accepted] = deliver(port, an_email(to="jürgen@bücher.example"))
    with a_server(unable, enable_SMTPUTF8=False) as port:
        [refused] = deliver(port, an_email(to="jürgen@bücher.example"))

    assert isinstance(accepted, Accepted)
    assert able.envelopes[0].rcpt_tos == ["jürgen@xn--bcher-kva.example"]
    assert "SMTPUTF8" in able.envelopes[0].mail_options
    assert isinstance(refused, RefusedBy)
    assert refused.scope == "recipient"
    assert refused.bounce == "undetermined"


def test_a_message_over_the_servers_size_is_refused_before_it_is_sent() -> None:
    mailbox = Mailbox()

    with a_server(mailbox, data_size_limit=2000) as port:
        [receipt] = deliver(port, an_email(html="<p>" + "x" * 3000))

    assert receipt == RefusedBy("message", "size", "the message is over 2000 bytes", "message")
    assert mailbox.envelopes == []


def test_two_hundred_messages_share_the_pool_and_each_arrives_once() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        receipts = deliver(
            port, *map(an_email, range(200)), pool=4, messages_per_connection=20,
            timeout_seconds=20.0,
        )  # fmt: skip

    assert all(isinstance(receipt, Accepted) for receipt in receipts)
    arrived = sorted(envelope.rcpt_tos[0] for envelope in mailbox.envelopes)
    assert arrived == sorted(f"p{number}@example.com" for number in range(200))
    assert 10 <= len(mailbox.peers) <= 14  # 200 / 20, and what the four were left with


def test_a_provider_works_again_in_the_next_event_loop() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        provider = open_provider(
            "email", "smtp", {"url": f"smtp://127.0.0.1:{port}"},
            directory=Path("nowhere"), rng=random.Random(1), now=lambda: NOW,
        )  # fmt: skip
        receipts = [asyncio.run(provider.deliver(an_email(number))) for number in range(2)]

    assert [type(receipt) for receipt in receipts] == [Accepted, Accepted]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_refused_login_is_a_fault_of_the_configuration() -> None:
    def refuse(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)

    options = {"authenticator": refuse, "auth_required": True, "auth_require_tls": False}
    with a_server(Mailbox(), **options) as port:
        [receipt] = deliver(port, an_email(), url="smtp://ada:wrong@127.0.0.1:{}")

    assert isinstance(receipt, RefusedBy)
    assert receipt.scope == "config"
    assert "wrong" not in receipt.text


def test_a_certificate_nobody_signed_is_refused_and_a_trusted_one_is_used(tmp_path: Path) -> None:
    mailbox = Mailbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(a_certificate(tmp_path))
    url = "smtp://localhost:{}?starttls=always"

    with a_server(mailbox, tls_context=context) as port:
        [refused] = deliver(port, an_email(), url=url)
        [accepted] = deliver(port, an_email(), url=url, ca_file=str(tmp_path / "server.pem"))

    assert isinstance(refused, RefusedBy)
    assert (refused.scope, refused.code) == ("config", "tls")
    assert isinstance(accepted, Accepted)
    assert len(mailbox.envelopes) == 1


def a_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, pkcs8, plain))
    return path


def test_starttls_that_is_required_but_not_offered_sends_nothing() -> None:
    mailbox = Mailbox()

    with a_server(mailbox) as port:
        [receipt] = deliver(port, an_email(), url="smtp://127.0.0.1:{}?starttls=always")

    assert isinstance(receipt, NotSent)
    assert mailbox.envelopes == []


def test_an_address_that_is_none_is_refused_without_connecting() -> None:
    [receipt] = deliver(1, an_email(to="ada at example.com"))

    assert receipt == RefusedBy("recipient", "address", "an e-mail address has exactly one @")


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "smtp://",
        "smtp://h:port",
        "smtp://h/path",
        "smtp://h?tls=1",
        "smtp://h?starttls=maybe",
        "smtp://ada:secret@mail.example?starttls=if_offered",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_its_secret(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        deliver(1, an_email(), url=url)

    assert "secret" not in str(refusal.value)
