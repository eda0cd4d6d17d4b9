"""APNs over a real HTTP/2 connection: answers, many at once, and connections that end."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import h2.connection
import h2.errors
import jwt
import pytest
from msgspec import structs

from channels import open_provider
from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt, RefusedBy, Throttled
from channels.calls import Answer, Call
from channels.http_provider import HttpProvider
from channels.push.apns import TOKEN_AGE_MAX, Apns, ApnsSettings
from channels.push.provider_token import ec_key
from engine.core.model.instants import MINUTE, SECOND
from tests.channels.http2_peer import Message, answer, make_certificate, serving, speaking
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.push_apns import APNS_ID, CASES, KEY, PEM, said

GONE, BUSY, BROKEN, FOREIGN = "41" * 32, "42" * 32, "50" * 32, "40" * 32
ANSWERS = {
    GONE: (410, {"reason": "Unregistered", "timestamp": 1_772_442_000_000}),
    BUSY: (429, {"reason": "TooManyRequests"}),
    BROKEN: (500, {"reason": "InternalServerError"}),
    FOREIGN: (400, {"reason": "BadDeviceToken"}),
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("apns"))


def opened(url: str, certificate: tuple[str, str], **settings: Any) -> HttpProvider:
    told = {**CASES.settings, "base_url": url, "ca_file": certificate[0], **settings}
    rng = random.Random(7)
    provider = open_provider(
        "push", "apns", told, directory=Path("nowhere"), rng=rng, now=lambda: NOW
    )
    assert isinstance(provider, HttpProvider)
    return provider


class Apple:
    """APNs: it reads the request as Apple does, and remembers what it was given."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str] = set()
        self.versions: set[str] = set()
        self.clients: set[Any] = set()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            got = await receive()
            body, more = body + got.get("body", b""), got.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.versions.add(scope["http_version"])
        self.clients.add(scope["client"])
        self.tokens.add(headers["authorization"].removeprefix("bearer "))
        device = scope["path"].removeprefix("/3/device/")
        self.pushed.append((device, json.loads(body)))
        status, told = ANSWERS.get(device, (200, None))
        names = [(b"apns-id", headers["apns-id"].encode())]
        await send({"type": "http.response.start", "status": status, "headers": names})
        await send(
            {"type": "http.response.body", "body": json.dumps(told).encode() if told else b""}
        )


def test_apples_answers_come_over_one_connection(certificate: tuple[str, str]) -> None:
    apple = Apple()

    async def run() -> list[Receipt]:
        async with serving(apple, certificate) as url:
            provider = opened(url, certificate)
            try:
                devices = [CASES.message.to, GONE, FOREIGN, BUSY, BROKEN]
                messages = [structs.replace(CASES.message, to=device) for device in devices]
                return [await provider.deliver(each) for each in messages]
            finally:
                await provider.close()

    taken, gone, foreign, busy, broken = asyncio.run(run())

    assert taken == Accepted(APNS_ID)
    assert isinstance(gone, RefusedBy)
    assert (gone.scope, gone.code, gone.bounce) == ("recipient", "Unregistered", "hard")
    assert isinstance(foreign, RefusedBy)
    assert foreign.bounce == "undetermined"
    assert busy == Throttled(None, "Apple answered 429 TooManyRequests")
    assert isinstance(broken, Ambiguous)
    assert apple.versions == {"2"}
    assert len(apple.clients) == 1
    assert apple.pushed[0][1]["aps"]["alert"]["title"] == "Grüße 🎻"


def test_three_hundred_at_once_share_one_connection_and_one_token(
    certificate: tuple[str, str],
) -> None:
    apple = Apple()

    async def run() -> list[Receipt]:
        async with serving(apple, certificate) as url:
            provider = opened(url, certificate)
            try:
                messages = [
                    structs.replace(CASES.message, id=number, to=f"{number:064x}", metadata={})
                    for number in range(300)
                ]
                return await asyncio.gather(*map(provider.deliver, messages))
            finally:
                await provider.close()

    receipts = asyncio.run(run())

    assert {type(receipt) for receipt in receipts} == {Accepted}
    assert {payload["antiphon_message"] for _, payload in apple.pushed} == set(map(str, range(300)))
    assert (len(apple.clients), len(apple.tokens)) == (1, 1)


# --- connections that end -----------------------------------------------------------------------


def delivered(
    behave: Any, certificate: tuple[str, str], *, n: int, streams: int = 100
) -> tuple[list[Receipt], list[tuple[int, int]]]:
    async def run() -> tuple[list[Receipt], list[tuple[int, int]]]:
        async with speaking(behave, certificate, streams=streams) as (url, asked):
            provider = opened(url, certificate)
            try:
                receipts = await asyncio.gather(
                    *(provider.deliver(CASES.message) for _ in range(n))
                )
            finally:
                await provider.close()
            return receipts, asked

    return asyncio.run(run())


def test_a_goaway_that_has_looked_at_nothing_means_not_sent(certificate: tuple[str, str]) -> None:
    def behave(state: h2.connection.H2Connection, number: int, stream: int) -> None:
        state.close_connection(last_stream_id=0)

    (receipt,), asked = delivered(behave, certificate, n=1)

    assert isinstance(receipt, NotSent), receipt
    assert asked == [(1, 1)]


def test_a_goaway_over_a_request_that_it_may_have_taken_leaves_us_in_doubt(
    certificate: tuple[str, str],
) -> None:
    def behave(state: h2.connection.H2Connection, number: int, stream: int) -> None:
        state.close_connection(last_stream_id=stream)

    (receipt,), _ = delivered(behave, certificate, n=1)

    assert isinstance(receipt, Ambiguous), receipt


def test_what_came_after_the_last_stream_of_a_goaway_is_never_in_doubt(
    certificate: tuple[str, str],
) -> None:
    def behave(state: h2.connection.H2Connection, number: int, stream: int) -> None:
        if number > 1:
            answer(state, stream)
        elif stream == 3:
            answer(state, 1)
            state.close_connection(last_stream_id=1)

    # Four streams at once: the others wait for room when the connection ends.
    receipts, asked = delivered(behave, certificate, n=20, streams=4)

    assert not [each for each in receipts if not isinstance(each, Accepted | NotSent)], receipts
    answered = sum(1 for connection, _ in asked if connection > 1) + 1
    assert sum(isinstance(each, Accepted) for each in receipts) == answered


def test_a_refused_stream_was_not_sent_and_a_broken_one_may_have_been(
    certificate: tuple[str, str],
) -> None:
    def reset(code: h2.errors.ErrorCodes) -> Any:
        def behave(state: h2.connection.H2Connection, number: int, stream: int) -> None:
            state.reset_stream(stream, code)

        return behave

    (refused,), _ = delivered(reset(h2.errors.ErrorCodes.REFUSED_STREAM), certificate, n=1)
    (broken,), _ = delivered(reset(h2.errors.ErrorCodes.INTERNAL_ERROR), certificate, n=1)

    assert isinstance(refused, NotSent), refused
    assert isinstance(broken, Ambiguous), broken


@pytest.mark.parametrize("of", ["few bytes", "many frames"])
def test_headers_without_end_are_refused_and_leave_us_in_doubt(
    certificate: tuple[str, str], of: str
) -> None:
    def behave(state: h2.connection.H2Connection, number: int, stream: int) -> None:
        # An indexed field takes a byte on the wire and four thousand of memory.
        bomb = [("x", "a" * 4_000)] * 5_000
        flood = [(f"x-{i}", f"{i:064}") for i in range(5_000)]
        headers = bomb if of == "few bytes" else flood
        state.send_headers(stream, [(":status", "200"), *headers], end_stream=True)

    (receipt,), _ = delivered(behave, certificate, n=1)

    assert isinstance(receipt, Ambiguous), receipt
    assert "protocol" in receipt.why


def test_a_certificate_that_nobody_vouches_for_means_not_sent(certificate: tuple[str, str]) -> None:
    async def run() -> Receipt:
        async with serving(Apple(), certificate) as url:
            provider = opened(url, certificate, ca_file=None)
            try:
                return await provider.deliver(CASES.message)
            finally:
                await provider.close()

    receipt = asyncio.run(run())

    assert isinstance(receipt, NotSent), receipt


# --- the token ----------------------------------------------------------------------------------


def vendor() -> Apns:
    settings = ApnsSettings(PEM, "KEY1234567", "TEAM123456", "example.shop.app")
    return Apns(settings, ec_key(PEM, setting="key", channel="push"))


def bearer(apns: Apns, *, now: int) -> str:
    asked = apns.call(CASES.message, now=now)
    assert isinstance(asked, Call)
    return asked.headers["Authorization"]


def test_a_token_is_kept_for_fifty_minutes_and_then_made_anew() -> None:
    apns = vendor()
    first = bearer(apns, now=NOW)

    assert bearer(apns, now=NOW + TOKEN_AGE_MAX - SECOND) == first
    renewed = bearer(apns, now=NOW + TOKEN_AGE_MAX)
    options: Any = {"verify_iat": False}
    claims = jwt.decode(renewed[7:], KEY.public_key(), algorithms=["ES256"], options=options)
    assert claims["iat"] == (NOW + TOKEN_AGE_MAX) // SECOND
    # A clock set back gives no token from the future.
    assert bearer(apns, now=NOW) != renewed


def test_a_token_called_expired_is_made_anew_but_not_within_twenty_minutes() -> None:
    apns = vendor()
    first = bearer(apns, now=NOW)

    early = apns.receipt(said(403, "ExpiredProviderToken"), now=NOW + 19 * MINUTE)
    kept = bearer(apns, now=NOW + 19 * MINUTE)
    late = apns.receipt(said(403, "ExpiredProviderToken"), now=NOW + 21 * MINUTE)

    assert isinstance(early, RefusedBy)
    assert early.scope == "config"
    assert kept == first
    assert isinstance(late, Throttled)
    assert bearer(apns, now=NOW + 21 * MINUTE) != first


# --- the payload --------------------------------------------------------------------------------


def pushed(**data: Any) -> Call | Receipt:
    message = OutMessage(7, "push", CASES.message.to, data={"title": "T", **data})
    return vendor().call(message, now=NOW)


def test_a_payload_may_have_4096_bytes_and_not_one_more() -> None:
    empty = pushed(body="x")
    assert isinstance(empty, Call)
    room = 4_096 - len(empty.body) + 1

    fits, over = pushed(body="x" * room), pushed(body="x" * (room + 1))

    assert isinstance(fits, Call)
    assert len(fits.body) == 4_096
    assert isinstance(over, RefusedBy)
    assert (over.scope, over.code) == ("message", "PayloadTooLarge")


def test_what_a_header_cannot_hold_is_hashed() -> None:
    keys = ["cart", "Körbe", "a\r\nb", "x" * 65]

    calls = [pushed(collapse_key=key) for key in keys]

    names = [each.headers["apns-collapse-id"] for each in calls if isinstance(each, Call)]
    assert names[0] == "cart"
    assert [len(name) for name in names[1:]] == [32, 32, 32]
    assert len(set(names)) == 4


def test_an_app_cannot_be_sent_an_aps_of_its_own() -> None:
    asked = pushed(data={"aps": "mine", "cart": "c"})

    assert isinstance(asked, Call)
    assert json.loads(asked.body) == {
        "aps": {"alert": {"title": "T"}}, "cart": "c", "antiphon_message": "7",
    }  # fmt: skip


def test_without_a_ttl_it_is_kept_four_weeks_and_at_its_end_only_tried() -> None:
    forever = pushed()
    message = OutMessage(7, "push", CASES.message.to, data={"title": "T"}, expires_at=NOW)
    ended = vendor().call(message, now=NOW)

    assert isinstance(forever, Call)
    assert isinstance(ended, Call)
    assert int(forever.headers["apns-expiration"]) == NOW // SECOND + 28 * 86_400
    assert ended.headers["apns-expiration"] == "0"


def test_an_address_of_another_kind_is_no_reason_to_suppress_the_person() -> None:
    for address in ("fid:cAbCdEfGhIjKlMnOpQrStU", '{"endpoint": "https://x"}', "short", ""):
        message = structs.replace(CASES.message, to=address)
        receipt = vendor().call(message, now=NOW)
        assert isinstance(receipt, RefusedBy)
        assert (receipt.scope, receipt.bounce) == ("recipient", None)


def test_sandbox_is_another_host() -> None:
    settings = ApnsSettings(PEM, "KEY1234567", "TEAM123456", "x", environment="sandbox")
    asked = Apns(settings, ec_key(PEM, setting="key", channel="push")).call(CASES.message, now=NOW)

    assert isinstance(asked, Call)
    assert asked.url.startswith("https://api.sandbox.push.apple.com/3/device/")


def test_a_410_of_no_known_reason_still_ends_the_token() -> None:
    receipt = vendor().receipt(Answer(410), now=NOW)

    assert receipt == RefusedBy("recipient", "410", "Apple answered 410 ", "hard")
