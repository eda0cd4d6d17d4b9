"""What a stranger tries on callbacks who has seen a genuine one: another body, header or method."""

import asyncio
import hmac
import json
import random
import time
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from channels import open_provider
from channels.aws_sns import SnsReader
from channels.callbacks import Callback, Echo, check_token
from channels.calls import Answer
from channels.email.returned import BOUNDARIES_MAX, read_returned
from channels.email.verp import message_in
from channels.sms.messagebird_proof import check_token as check_messagebird
from channels.sms.vonage_reports import check_proof as check_vonage
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import SECOND
from tests.channels.contract_bench import opened
from tests.channels.sns_signing import notification
from tests.channels.test_aws_sns import GOOD, read
from tests.channels.test_plivo import FORM, plivo
from tests.channels.test_smtp_callbacks import TOKEN, a_bounce_to, told
from tests.channels.vendor_cases import NOW
from tests.channels.vendors import email_mailgun, sms_messagebird, sms_plivo, sms_vonage

US = "https://us.example/webhooks/sms"


# --- Plivo --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x-plivo-signature-v3", "X-Plivo-Signature-V3"])
def test_an_empty_new_signature_does_not_lend_the_old_one_what_it_does_not_cover(name: str) -> None:
    """The old one covers an address and a nonce: whoever saw one could write any body beneath."""
    seen = sms_plivo.status("delivered")
    headers = {**seen.headers, name.lower(): ""}
    forged = Callback(US, headers, FORM.replace(b"delivered", b"failed"))

    with pytest.raises(Forged, match="webhook_token"):
        plivo().read_callback(forged, now=NOW)


def test_a_get_that_was_signed_vouches_for_no_body() -> None:
    url = f"{US}?message=7"
    seal = hmac.digest(sms_plivo.TOKEN.encode(), f"{url}.77".encode(), "sha256")
    headers = {
        "x-plivo-signature-v3": b64encode(seal).decode(),
        "x-plivo-signature-v3-nonce": "77",
    }

    with pytest.raises(Forged):
        plivo().read_callback(Callback(url, headers, FORM, method="GET"), now=NOW)


# --- tokens -------------------------------------------------------------------------------------


def by_vonage(callback: Callback) -> None:
    check_vonage(
        callback, {}, secrets=(sms_vonage.SIGNING, ""), method="sha256", token="", now=NOW
    )  # fmt: skip


def test_a_token_of_vonages_vouches_for_no_query_once_its_body_is_left_out() -> None:
    seen = sms_vonage.signed(b'{"messageId": "1"}')
    forged = Callback(f"{US}?messageId=1&status=failed", seen.headers, method="GET")

    by_vonage(seen)

    with pytest.raises(Forged, match="query"):
        by_vonage(forged)


@pytest.mark.parametrize("claims", [
    {"iat": None}, {"iat": "soon"}, {"iat": 10**30}, {"iat": NOW // SECOND + 3_600},
    {"payload_hash": None}, {"payload_hash": ["x"]}, {"payload_hash": ""},
])  # fmt: skip
def test_a_token_of_vonages_without_a_time_or_a_hash_is_no_proof(claims: dict[str, Any]) -> None:
    body = b'{"messageId": "1"}'
    token = sms_vonage.token(body, **claims)

    with pytest.raises(Forged):
        by_vonage(Callback(US, {"authorization": f"Bearer {token}"}, body))


@pytest.mark.parametrize("claims", [
    {"exp": None}, {"nbf": None}, {"exp": "9999999999"}, {"nbf": NOW // SECOND + 60},
    {"iss": "Vonage"}, {"url_hash": None},
])  # fmt: skip
def test_a_token_of_messagebirds_that_lacks_a_claim_is_no_proof(claims: dict[str, Any]) -> None:
    genuine = sms_messagebird.with_token(Callback(US, {}, b"{}"))
    forged = sms_messagebird.with_token(Callback(US, {}, b"{}"), **claims)

    for callback, is_ours in ((genuine, True), (forged, False)):
        token = callback.headers["messagebird-signature-jwt"]
        if is_ours:
            check_messagebird(callback, token, keys=[sms_messagebird.KEY], now=NOW)
        else:
            with pytest.raises(Forged):
                check_messagebird(callback, token, keys=[sms_messagebird.KEY], now=NOW)


def test_a_public_key_is_no_secret_of_a_keyed_hash() -> None:
    """RS256 turned to HS256: the key that everybody may read would sign."""
    public = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"
    head, claims = (urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=")
                    for it in ({"alg": "HS256"}, {"iat": NOW // SECOND}))  # fmt: skip
    seal = urlsafe_b64encode(hmac.digest(public.encode(), head + b"." + claims, "sha256"))
    token = (head + b"." + claims + b"." + seal.rstrip(b"=")).decode()

    with pytest.raises(Forged, match="does not hold"):
        by_vonage(Callback(US, {"authorization": f"Bearer {token}"}))


@pytest.mark.parametrize("sent", [
    "Basic ü", "Basic %%%", "Basic " + b64encode(b"\xff:\xff").decode(), "Bearer", "Basic", "é",
])  # fmt: skip
def test_an_authorization_of_nonsense_is_forged_and_no_exception(sent: str) -> None:
    with pytest.raises(Forged):
        check_token(Callback(US, {"authorization": sent}), "a-token")


# --- SNS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [
    "sns.s3-us-west-2.amazonaws.com", "sns.s3-external-1.amazonaws.com",
    "sns.s3-accelerate.amazonaws.com", "sns.execute-api.amazonaws.com", "sns.elb.amazonaws.com",
    "sns.eu-west-1.amazonaws.com.", "SNS.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com\n",
    "sns.eu-west-1.amazonaws。com", "sns.eu-west-1.amazonaws.com.cn.evil.example",
    "sns.eu-west-1.amazonaws.com%2eevil.example", "sns.eu-west-1.amazonaws.com:443",
    "@sns.eu-west-1.amazonaws.com", "sns.xn--eu-west-1-x.amazonaws.com",
])  # fmt: skip
def test_a_bucket_called_sns_and_other_hosts_sign_for_nobody(host: str) -> None:
    told = {**json.loads(notification("x").body), "SigningCertURL": f"https://{host}/x.pem"}

    with pytest.raises(Forged):
        SnsReader([told["TopicArn"]]).read(
            Callback(US, {}, json.dumps(told).encode()), now=NOW, then=lambda _: Echo()
        )


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "ap-southeast-5", "cn-north-1"])
def test_every_region_signs_for_itself(region: str) -> None:
    end = ".cn" if region.startswith("cn") else ""
    url = f"https://sns.{region}.amazonaws.com{end}/SimpleNotificationService-1.pem"

    _, believed = read(notification("x", SigningCertURL=url), GOOD)

    assert len(believed) == 1


def test_a_page_in_place_of_the_certificate_is_asked_for_again() -> None:
    echo, believed = read(notification("x"), Answer(200, {}, b"<html>" * 100_000))

    assert (echo.reply.status, believed) == (503, [])


# --- Mailgun ------------------------------------------------------------------------------------


def test_a_token_of_mailguns_serves_one_body() -> None:
    provider = opened(email_mailgun.CASES)
    seen = email_mailgun.CASES.told[0].callback
    body = json.loads(seen.body)
    body["event-data"] |= {"event": "complained", "id": "another"}
    forged = structs.replace(seen, body=json.dumps(body).encode())

    async def both() -> None:
        await provider.read_callback(seen)
        await provider.read_callback(seen)
        with pytest.raises(Forged, match="token"):
            await provider.read_callback(forged)
        await provider.close()

    asyncio.run(both())


# --- returned mail ------------------------------------------------------------------------------


def a_mail_bomb(depth: int, *, lines: int = 0) -> bytes:
    parts = (f'Content-Type: multipart/mixed; boundary="b{i}"\n\n--b{i}\n' for i in range(depth))
    return ("From: a@b.example\nMIME-Version: 1.0\n" + "".join(parts) + "x\n" * lines).encode()


@pytest.mark.parametrize(
    "raw",
    [
        a_mail_bomb(200, lines=400_000),
        a_mail_bomb(3_000),
        b"From: a@b.example\n" + b"Content-Type: message/rfc822\n\n" * 3_000,
    ],
)
def test_a_mail_bomb_is_refused_before_it_costs_anything(raw: bytes) -> None:
    started = time.process_time()

    with pytest.raises(Unreadable):
        read_returned(raw, message=None, now=NOW)

    assert time.process_time() - started < 0.5


def test_a_mail_with_as_many_boundaries_as_are_allowed_is_read() -> None:
    (event,) = read_returned(a_mail_bomb(BOUNDARIES_MAX), message=7, now=NOW)

    assert event.kind == "unknown"


def test_a_diagnostic_of_100_kb_costs_nothing() -> None:
    started = time.process_time()

    (event,) = told(a_bounce_to(7).replace(b"550 5.1.1 unknown", b"550 5.1.1 " + b"a" * 100_000))

    assert event.message == 7
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_spoilt_mail_is_read_or_unreadable_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    provider = open_provider(
        "email", "smtp", {"url": "smtp://127.0.0.1:1", "webhook_token": TOKEN},
        directory=Path(), rng=rng, now=lambda: NOW,
    )  # fmt: skip
    good = a_bounce_to(7)
    dates = (b"Mon, 01 Jan 2026 00:00:00 +99999999999999999999", b"\xff", b"(" * 5_000)

    async def all_of_them() -> None:
        for _ in range(60):
            raw = bytearray(good.replace(b"Mon, 02 Mar 2026 09:00:00 +0000", rng.choice(dates)))
            for _ in range(rng.randrange(8)):
                raw[rng.randrange(len(raw))] = rng.choice(b'\0\n\r:;"=-\xff\x80(<')
            callback = Callback(US, {"x-webhook-token": TOKEN}, bytes(raw))
            try:
                await provider.read_callback(callback)
            except Unreadable:
                continue

    asyncio.run(all_of_them())


def test_letters_that_only_look_alike_are_no_part_of_a_signature() -> None:
    for look_alike in (
        "bounce+7=\u017fj3ne\u212abmxg@b.shop.example",
        "bounce+٧=zj3nekbmxg@b.shop.example",
    ):
        assert message_in(look_alike, domain="b.shop.example", secrets=["test"]) is None
