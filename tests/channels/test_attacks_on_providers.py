"""What a stranger tries on providers: headers, addresses, answers, numbers, words that take time.

The contract suite asks what every vendor does with its own; here is what nobody honest would send.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from channels.base import NotSent, RefusedBy, Throttled
from channels.calls import Answer, Call
from channels.email.bounces import mask_addresses
from channels.email.headers import head_of, id_in
from channels.email.sender import EmailSettings, sender_of
from channels.email.smtp import SmtpSettings
from channels.email.smtp_url import read_url
from channels.http_provider import GATEWAY
from channels.receipts import WAIT_SECONDS_MAX, receipt_of, retry_after_seconds
from channels.settings import read_settings
from channels.sms.keywords import intent_of
from channels.sms.reports import mask_numbers
from channels.sms.senders import sender_kind
from channels.transport import exchange, open_client
from engine.core.errors import UsageError
from engine.release.provider_checks import settings_of
from tests.channels.contract_bench import opened
from tests.channels.test_provider_contract import CASES as DISCOVERED
from tests.channels.vendor_cases import NOW, VendorCases

CASES = {name: it for name, it in DISCOVERED.items() if not name.endswith(".example")}
EMAIL = [it for it in CASES.values() if it.provider.startswith("email.")]
SMS = [it for it in CASES.values() if it.provider.startswith("sms.")]
LINE_ENDS = ("\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u2028", "\u2029")
BCC = "Bcc: mallory@evil.example"


def asked(cases: VendorCases, **changes: Any) -> Any:
    """What a vendor would call for the message of its cases, changed."""
    vendor = opened(cases).vendor
    return vendor.call(structs.replace(cases.message, **changes), now=NOW)


# --- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cases", EMAIL, ids=lambda it: it.provider)
@pytest.mark.parametrize("line_end", LINE_ENDS, ids=ascii)
def test_no_line_end_gets_into_a_header_of_any_vendor(cases: VendorCases, line_end: str) -> None:
    evil = f"Sale{line_end}{BCC}"
    tried = {
        "subject": evil,
        "from_": f'"{evil}" <shop@shop.example>',
        "reply_to": f"{evil} <help@shop.example>",
        "to": f"ada@example.com{line_end}{BCC}",
        "headers": {"X-Shop": evil},
        "unsubscribe_url": f"https://shop.example/u{line_end}{BCC}",
    }
    names = {"headers": {f"X-Shop{line_end}{BCC}": "1"}}

    found = [asked(cases, **{name: value}) for name, value in tried.items()]
    found.append(asked(cases, **names))

    for refused in found:
        assert isinstance(refused, RefusedBy), refused
        assert refused.scope == "message"
        assert "mallory" not in refused.text


@pytest.mark.parametrize(
    "to",
    [
        "ada@example.com, eve@evil.example",
        "Ada <ada@example.com>, eve@evil.example",
        '"ada@example.com, eve"@evil.example',
        "ada@example.com\u200b",
        "ada@exam\u200bple.com",
        "ada＠example.com",
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ada@-x.example",
        "a" * 65 + "@example.com",
        "a@" + "ü" * 100_000 + ".example",
    ],
)
def test_an_address_that_is_two_or_none_is_refused_and_never_repeated(to: str) -> None:
    for cases in EMAIL:
        found = asked(cases, to=to)

        if isinstance(found, Call):
            # A character that takes no room is dropped by the rules of domain names (UTS 46).
            assert "\u200b" in to
            assert b"\\u200b" not in found.body
        else:
            assert isinstance(found, RefusedBy)
            assert "example" not in found.text


def test_a_look_alike_domain_is_shown_by_what_it_is() -> None:
    (cases, *_) = EMAIL
    sender = sender_of(EmailSettings(from_="Shop <hello@shop.example>"), channel="email")

    head = head_of(structs.replace(cases.message, to="ada@\u0430pple.com"), sender=sender)

    assert head.to == "ada@xn--pple-43d.com"


@pytest.mark.parametrize("cases", SMS, ids=lambda it: it.provider)
def test_no_vendor_of_texts_takes_a_number_or_sender_that_is_none(cases: VendorCases) -> None:
    numbers = (
        "015112345678",
        "+49151",
        "+4915112345678\r\nX: y",
        "+" + "٤٩١٥١١٢٣٤٥٦",
        "ada",
        "+0123",
    )
    senders = ("Shop\r\nX-Kannel-To: +1", "+٤٩١٥١١٢٣٤٥٦", "٧٧٧٧", "a" * 12, "Shop\0", "<b>")

    for number in numbers:
        found = asked(cases, to=number)
        assert isinstance(found, RefusedBy), number
        assert found.scope == "recipient"
    for sender in senders:
        with pytest.raises(ValueError, match="a sender is"):
            sender_kind(sender)
    for text in ("half \ud800", "nul \0"):
        assert isinstance(asked(cases, text=text), RefusedBy)


# --- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", sorted(CASES))
def test_settings_never_show_what_they_hold(provider: str) -> None:
    cases = CASES[provider]
    kind = settings_of(provider)
    if kind is None:
        pytest.skip("it has no settings")

    shown = repr(read_settings(kind, cases.settings, channel="email"))

    for value in cases.settings.values():
        assert not (isinstance(value, str) and len(value) > 8 and value in shown)


def test_the_password_of_a_mail_server_shows_nowhere() -> None:
    url = "smtps://shop:hunter2-hunter2@mail.shop.example"

    assert "hunter2" not in repr(read_url(url)) + repr(SmtpSettings(url=url))


@pytest.mark.parametrize("ending", ["\n", "\r\nX-Evil: 1", "é", "\ud800"])
@pytest.mark.parametrize("http2", [False, True])
def test_a_key_that_fits_in_no_header_is_not_repeated_by_the_error(
    ending: str, http2: bool
) -> None:
    async def tried(port: int) -> Any:
        async with open_client(rules=GATEWAY, http2=http2) as client:
            headers = {"Authorization": f"Bearer s3cret-key{ending}"}
            return await exchange(client, Call(f"http://127.0.0.1:{port}/", headers=headers))

    found = asyncio.run(_served(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tried))

    assert isinstance(found, NotSent | RefusedBy)
    assert "cannot be written" in str(found)
    assert "s3cret" not in str(found)


# --- answers ------------------------------------------------------------------------------------


def test_no_ones_cookies_are_kept() -> None:
    heads: list[bytes] = []

    async def twice(port: int) -> None:
        async with open_client(rules=GATEWAY) as client:
            for _ in range(2):
                await exchange(client, Call(f"http://127.0.0.1:{port}/", method="GET"))
            assert not list(client.cookies.jar)

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=" + b"1" * 3_000 + b"\r\n\r\n"
    asyncio.run(_served(answer, twice, heads=heads))

    assert len(heads) == 2
    assert not any(b"cookie" in head.lower() for head in heads)


def test_an_address_that_changes_between_look_and_leap_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[str] = []
    connected: list[str] = []
    turns = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])

    async def rebound(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked_for.append(host)
        return [(2, 1, 6, "", (next(turns), port))]

    async def connect(_self: Any, host: str, *_: Any, **__: Any) -> Any:
        connected.append(host)
        raise OSError("the test goes nowhere")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", rebound)
    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect)

    async def push() -> Any:
        provider = opened(CASES["push.webpush"])
        try:
            return await provider.deliver(CASES["push.webpush"].message)
        finally:
            await provider.close()

    asyncio.run(_quiet(push))

    assert len(asked_for) == 1
    assert connected == ["93.184.215.14"]


@pytest.mark.parametrize(
    "said",
    [
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 2026 99999999999:00:00 GMT",
        "1 Jan 99999999999999999999999 00:00:00",
        "²",
        "٣",
        "-1",
        "1e9",
    ],
)
def test_a_retry_after_that_is_none_is_none(said: str) -> None:
    assert retry_after_seconds({"retry-after": said}, now=NOW) is None


@pytest.mark.parametrize("said", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_is_made_to_wait_for_years(said: str) -> None:
    answer = Answer(429, {"retry-after": said}, b"")

    assert receipt_of(answer, now=NOW) == Throttled(WAIT_SECONDS_MAX, "")


@pytest.mark.parametrize("provider", sorted(CASES))
def test_an_answer_with_numbers_of_400_digits_is_no_exception(provider: str) -> None:
    cases = CASES[provider]
    big = "9" * 400
    names = ("code", "ErrorCode", "status", "timestamp", "error", "id")
    parts = [f'"{name}": {big}' for name in names]
    parts += [f'"messages": [{{"status": {big}}}]', f'"errors": [{{"code": {big}}}]']
    body = f"{{{', '.join(parts)}}}".encode()
    headers = {"x-ratelimit-reset": big, "x-sib-ratelimit-reset": big}

    async def read(status: int) -> Any:
        provider = opened(cases)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("channels.http_provider.exchange", _answering(cases, status))
            return await provider.deliver(cases.message)

    def _answering(cases: VendorCases, status: int) -> Callable[..., Any]:
        async def exchange(_client: Any, call: Call) -> Answer:
            for part, answer in cases.questions.items():
                if part in call.url:
                    return answer
            return Answer(status, headers, body)

        return exchange

    for status in (200, 400, 410, 429, 500):
        assert asyncio.run(read(status)) is not None


# --- words that take time ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (mask_addresses, "a" * 100_000),
        (mask_addresses, "a@" * 50_000),
        (mask_addresses, "@a" * 50_000),
        (id_in, "<m1." * 25_000),
        (mask_numbers, "1 . " * 25_000),
        (mask_numbers, ("1" + "." * 4) * 20_000 + "x"),
        (intent_of, "nicht " * 20_000),
        (intent_of, "\ufdfa" * 100_000),
        (intent_of, "stop ne plus no " * 6_000),
        (sender_kind, "a" * 100_000),
    ],
)
def test_hostile_words_of_100_kb_are_read_in_no_time(read: Callable[[str], Any], text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ValueError):
        read(text)

    # They take a few milliseconds; what is not linear took from 15 s to minutes.
    assert time.process_time() - started < 0.5


def test_masking_still_finds_every_address() -> None:
    assert mask_addresses("to <ada@x.example>, b@y.example (d@w)") == (
        "to <<address>>, <address> (<address>)"
    )


# --- settings -----------------------------------------------------------------------------------


def test_a_region_is_no_way_to_another_host() -> None:
    cases = CASES["sms.aws"]
    settings = {**cases.settings, "region": "evil.example/#"}

    with pytest.raises(UsageError, match="region"):
        opened(cases, settings=settings)


async def _served(
    answer: bytes, use: Callable[[int], Any], *, heads: list[bytes] | None = None
) -> Any:
    """Run something beside a server that gives one answer to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if heads is not None:
                    heads.append(head)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await use(server.sockets[0].getsockname()[1])


async def _quiet(use: Callable[[], Any]) -> Any:
    try:
        return await use()
    except OSError:
        return None
