"""Web Push: what only the browser can open, and to whom it is sent."""

import asyncio
import hashlib
import hmac
import json
import random
from pathlib import Path
from typing import Any

import http_ece  # type: ignore[import-untyped]
import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from channels import open_provider
from channels.base import Accepted, OutMessage, Receipt, RefusedBy
from channels.calls import Answer, Call
from channels.http_provider import HttpProvider
from channels.push.webpush import TOKEN_RENEWED, WebPush
from channels.push.webpush_encryption import PLAINTEXT_BYTES_MAX, encrypt
from engine.core.errors import UsageError
from engine.core.model.instants import HOUR, SECOND
from tests.channels.push_browser import Browser, base64url, from_base64url, records
from tests.channels.recorded import vectors
from tests.channels.vendor_cases import NOW
from tests.channels.vendor_server import Arrived, running, saying
from tests.channels.vendors.push_webpush import CASES, PUBLIC

# --- the encryption -----------------------------------------------------------------------------

WATERMELON = b"When I grow up, I want to be a watermelon"
RFC_8291 = {
    "as_private": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "ua_private": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    "auth_secret": "BTBZMqHH6r4Tts7J_aSIgg",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "body": "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc"
    "InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexS"
    "gSxsj_Qulcy4a-fN",
}
"""RFC 8291, section 5 and appendix A."""


def test_the_example_of_the_rfc_comes_out_to_the_letter() -> None:
    browser = Browser(
        "https://push.example.net/push/x",
        private=from_base64url(RFC_8291["ua_private"]),
        auth=from_base64url(RFC_8291["auth_secret"]),
    )
    number = int.from_bytes(from_base64url(RFC_8291["as_private"]), "big")

    body = encrypt(
        WATERMELON,
        p256dh=browser.point,
        auth=browser.auth,
        sender=derive_private_key(number, SECP256R1()),
        salt=from_base64url(RFC_8291["salt"]),
    )

    assert base64url(body) == RFC_8291["body"]
    assert browser.opened(body) == WATERMELON


def test_our_browser_reads_the_recorded_vectors_and_refuses_the_forged() -> None:
    for case in vectors("webpush_rfc8291"):
        body = from_base64url(case["body"])
        if "secret" in case:  # RFC 8188 alone, without the two keys
            prk = hmac.new(body[:16], from_base64url(case["secret"]), hashlib.sha256).digest()
            assert records(body[21:], prk, size=4_096).decode() == case["plaintext"]
            continue
        browser = Browser(
            "https://x.example",
            private=from_base64url(case["ua_private"]),
            auth=from_base64url(case["auth_secret"]),
        )
        if case["expected"]:
            assert browser.opened(body).decode() == case["plaintext"], case["name"]
        else:
            with pytest.raises(InvalidTag):
                browser.opened(body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=PLAINTEXT_BYTES_MAX), st.binary(min_size=16, max_size=16))
def test_whatever_is_encrypted_the_browser_and_http_ece_can_open(text: bytes, salt: bytes) -> None:
    browser, sender = Browser("https://x.example"), generate_private_key(SECP256R1())

    body = encrypt(text, p256dh=browser.point, auth=browser.auth, sender=sender, salt=salt)

    assert len(body) == len(text) + 86 + 1 + 16
    assert browser.opened(body) == text
    opened = http_ece.decrypt(
        body, private_key=browser.key, auth_secret=browser.auth, version="aes128gcm"
    )
    assert opened == text


def test_3993_bytes_fill_a_body_of_4096_and_one_more_is_refused() -> None:
    browser, sender = Browser("https://x.example"), generate_private_key(SECP256R1())
    keys: dict[str, Any] = {"p256dh": browser.point, "auth": browser.auth, "sender": sender}

    assert len(encrypt(b"x" * 3_993, salt=b"s" * 16, **keys)) == 4_096
    with pytest.raises(ValueError, match="3,994 bytes; at most 3,993"):
        encrypt(b"x" * 3_994, salt=b"s" * 16, **keys)


def test_the_example_of_rfc_8292_is_checked_as_our_own_tokens_are() -> None:
    """The check that the tests below ask our tokens to pass is the one that RFC 8292's passes."""
    for case in vectors("vapid_rfc8292"):
        header = case["headers"]["Authorization"]
        origin = "/".join(case["url"].split("/")[:3])
        assert is_believed(header, origin=origin, now=case["now"]) is case["expected"], case["name"]


def is_believed(header: str, *, origin: str, now: int) -> bool:
    """What a push service checks of `Authorization: vapid …` (RFC 8292, 2 and 4.2)."""
    kind, _, rest = header.partition(" ")
    token, key = (each.strip().partition("=")[2] for each in rest.split(","))
    public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), from_base64url(key))
    checks: Any = {"verify_exp": False}
    try:
        claims = jwt.decode(token, public, algorithms=["ES256"], audience=origin, options=checks)
    except jwt.InvalidTokenError:
        return False
    return kind == "vapid" and now < claims["exp"] <= now + 86_400


# --- on the wire --------------------------------------------------------------------------------


def opened_provider(**changed: Any) -> HttpProvider:
    told = {**CASES.settings, **changed}
    rng = random.Random(7)
    provider = open_provider(
        "push", "webpush", told, directory=Path("nowhere"), rng=rng, now=lambda: NOW
    )
    assert isinstance(provider, HttpProvider)
    return provider


def test_a_push_service_passes_on_what_only_the_browser_can_read() -> None:
    browsers = [Browser(f"https://web.push.apple.com/Q{number}") for number in range(3)]

    async def run() -> tuple[list[Receipt], list[Arrived]]:
        taken = saying(Answer(201, {"location": "https://web.push.apple.com/m/1"}))
        async with running(taken) as server:
            provider = opened_provider(base_url=f"http://127.0.0.1:{server.port}")
            try:
                receipts = [
                    await provider.deliver(structs.replace(CASES.message, to=each.subscription))
                    for each in browsers
                ]
            finally:
                await provider.close()
            return receipts, server.arrived

    receipts, arrived = asyncio.run(run())

    assert receipts == [Accepted("1")] * 3
    assert [each.target for each in arrived] == ["/Q0", "/Q1", "/Q2"]
    for browser, request in zip(browsers, arrived, strict=True):
        assert json.loads(browser.opened(request.body))["title"] == "Grüße 🎻"
        assert request.headers["content-length"] == str(len(request.body))
        told = request.headers["authorization"]
        assert is_believed(told, origin="https://web.push.apple.com", now=NOW // SECOND)
        assert told.endswith(f"k={PUBLIC}")
    with pytest.raises(InvalidTag):
        browsers[1].opened(arrived[0].body)
    # A key and a salt of its own for each message: nothing repeats.
    assert len({request.body[:86] for request in arrived}) == 3


# --- where it may go ----------------------------------------------------------------------------


def asked(endpoint: str, *, now: int = NOW, **changed: Any) -> Call | Receipt:
    provider = opened_provider(**changed)
    message = structs.replace(CASES.message, to=Browser(endpoint).subscription)
    found = provider.vendor.call(message, now=now)
    asyncio.run(provider.close())
    assert isinstance(found, Call | RefusedBy)
    return found


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://web.push.apple.com/abc",
        "https://wns2-by3p.notify.windows.com/w/?token=abc",
    ],
)
def test_every_browsers_service_is_known(endpoint: str) -> None:
    found = asked(endpoint)

    assert isinstance(found, Call)
    assert found.url == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.7/x",
        "https://push.attacker.example/x",
        "https://fcm.googleapis.com.attacker.example/x",
        "https://attackerpush.apple.com.example/x",
        "https://notpush.apple.com/x",
        "http://web.push.apple.com/x",
        "https://user@web.push.apple.com/x",
        "https://web.push.apple.com@10.0.0.7/x",
        "file:///etc/passwd",
        "https://",
    ],
)
def test_no_other_address_is_called_whatever_the_person_sent(endpoint: str) -> None:
    found = asked(endpoint)

    assert isinstance(found, RefusedBy)
    assert (found.scope, found.bounce) == ("recipient", None)
    assert "attacker" not in found.text


def test_a_host_that_the_operator_adds_is_called_and_must_still_be_public() -> None:
    found = asked("https://127.0.0.1:8443/x", hosts=["127.0.0.1"])
    assert isinstance(found, Call)

    async def run() -> Receipt:
        provider = opened_provider(hosts=["127.0.0.1"])
        try:
            subscription = Browser("https://127.0.0.1:8443/x").subscription
            return await provider.deliver(structs.replace(CASES.message, to=subscription))
        finally:
            await provider.close()

    receipt = asyncio.run(run())

    assert isinstance(receipt, RefusedBy)
    assert receipt.code == "egress"


# --- tokens, time and names ---------------------------------------------------------------------


def test_one_token_serves_a_push_service_for_eleven_hours() -> None:
    provider = opened_provider()
    vendor = provider.vendor
    assert isinstance(vendor, WebPush)

    def token(at: int, endpoint: str = "https://web.push.apple.com/a") -> str:
        message = structs.replace(CASES.message, to=Browser(endpoint).subscription)
        found = vendor.call(message, now=at)
        assert isinstance(found, Call)
        return found.headers["Authorization"]

    first = token(NOW)
    assert token(NOW + TOKEN_RENEWED - SECOND, "https://web.push.apple.com/b") == first
    assert token(NOW, "https://fcm.googleapis.com/a") != first
    later = token(NOW + TOKEN_RENEWED)
    assert later != first
    for at in (NOW + TOKEN_RENEWED, NOW + 22 * HOUR):
        assert is_believed(later, origin="https://web.push.apple.com", now=at // SECOND)
    asyncio.run(provider.close())


def test_a_topic_that_cannot_stand_in_a_header_is_hashed() -> None:
    def topic(key: str) -> str:
        provider = opened_provider()
        data = {"title": "T", "collapse_key": key}
        found = provider.vendor.call(structs.replace(CASES.message, data=data), now=NOW)
        asyncio.run(provider.close())
        assert isinstance(found, Call)
        return found.headers.get("Topic", "")

    assert topic("cart") == "cart"
    assert topic("") == ""
    hashed = topic("Körbe der Woche\r\nX: y")
    assert len(hashed) == 32
    assert hashed != topic("other words of another push")


def test_a_message_that_ends_now_is_tried_once_and_not_kept() -> None:
    provider = opened_provider()
    message = OutMessage(7, "push", CASES.message.to, data={"title": "T", "ttl": "2d"})

    ended = provider.vendor.call(structs.replace(message, expires_at=NOW), now=NOW)
    kept = provider.vendor.call(message, now=NOW)

    assert isinstance(ended, Call)
    assert isinstance(kept, Call)
    assert (ended.headers["TTL"], kept.headers["TTL"]) == ("0", str(2 * 86_400))
    asyncio.run(provider.close())


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"private_key": "AAAA"}, "private_key is not a private P-256 key"),
        ({"private_key": "A" * 43}, "private_key is not a private P-256 key"),  # zero
        ({"private_key": "-----BEGIN nonsense"}, "private_key is not a private P-256 key"),
        ({"subject": "push@shop.example"}, "subject is mailto:NAME@DOMAIN"),
        ({"subject": "mailto: <push@shop.example>"}, "subject is mailto:NAME@DOMAIN"),
        ({"hosts": []}, "hosts is empty"),
    ],
)
def test_settings_that_no_service_would_take_are_refused(
    changed: dict[str, Any], found: str
) -> None:
    with pytest.raises(UsageError, match=found):
        opened_provider(**changed)
