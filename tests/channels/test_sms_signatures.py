"""How SMS vendors sign: their own official vectors, and cases made here that always run."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from channels.callbacks import Callback
from channels.sms import messagebird_proof, sinch, twilio, vonage_reports
from channels.sms.bearer import read_bearer
from engine.core.errors import Forged
from engine.core.model.instants import SECOND
from tests.channels.recorded import vectors
from tests.channels.vendor_cases import NOW
from tests.channels.vendors import sms_messagebird, sms_sinch, sms_twilio, sms_vonage

Check = Callable[[Callback, str, int], None]


def by_twilio(callback: Callback, secret: str, now: int) -> None:
    twilio.signed_fields(callback, tokens=[secret])


def by_sinch(callback: Callback, secret: str, now: int) -> None:
    sinch.check_signature(callback, secrets=[secret], now=now)


def by_messagebird(callback: Callback, secret: str, now: int) -> None:
    messagebird_proof.check_proof(callback, keys=[secret], now=now)


def by_vonage(callback: Callback, secret: str, now: int) -> None:
    vonage_reports.check_proof(callback, {}, secrets=[secret], method="sha256", token="", now=now)


def now_of(case: dict[str, Any]) -> int:
    """The instant of a case: its own, or the one that it signs."""
    headers = {name.lower(): value for name, value in case["headers"].items()}
    signed = headers.get("x-sinch-webhook-signature-timestamp") or headers.get(
        "messagebird-request-timestamp"
    )
    # The `iat` of Vonage's vector.
    return int(case.get("now") or signed or 1_697_634_680) * SECOND


@pytest.mark.parametrize(
    ("name", "check", "n_cases"),
    [
        ("twilio", by_twilio, 10),
        ("sinch", by_sinch, 3),
        ("messagebird_jwt", by_messagebird, 44),
        ("messagebird_legacy", by_messagebird, 3),
        ("vonage_jwt", by_vonage, 3),
    ],
)
def test_the_vendors_own_vectors_hold_and_their_forgeries_do_not(
    name: str, check: Check, n_cases: int
) -> None:
    cases = vectors(name)

    found = {}
    for case in cases:
        headers = {name.lower(): value for name, value in case["headers"].items()}
        body = (case["body"] or "").encode()
        callback = Callback(case["url"] or "https://a.example/", headers, body)
        try:
            check(callback, case["secret"], now_of(case))
        except Forged:
            found[case["name"]] = False
        else:
            found[case["name"]] = True

    assert len(cases) == n_cases
    assert found == {case["name"]: case["expected"] for case in cases}


MADE: dict[str, tuple[Check, str, Callback]] = {
    "twilio": (by_twilio, sms_twilio.TOKEN, sms_twilio.told("delivered")),
    "sinch": (by_sinch, sms_sinch.SECRET, sms_sinch.told("Delivered")),
    "messagebird's token": (
        by_messagebird, sms_messagebird.KEY, sms_messagebird.signed(b'{"id": "1"}'),
    ),
    "messagebird's hash": (
        by_messagebird, sms_messagebird.KEY,
        sms_messagebird.with_hash(sms_messagebird.report("sent")),
    ),
    "bird's hash": (
        by_messagebird, sms_messagebird.KEY,
        sms_messagebird.with_hash(Callback(sms_messagebird.US, {}, b"{}"), whole=True),
    ),
    "vonage": (by_vonage, sms_vonage.SIGNING, sms_vonage.signed(b'{"a": "1"}')),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_signature_holds_with_its_key_for_its_body_and_address_alone(name: str) -> None:
    check, key, callback = MADE[name]
    changed = [
        structs.replace(callback, headers={}),
        structs.replace(callback, body=callback.body + b" "),
    ]
    if name in ("twilio", "messagebird's token", "messagebird's hash", "bird's hash"):
        changed.append(structs.replace(callback, url=f"{callback.url}&x=1"))

    check(callback, key, NOW)

    for each in changed:
        with pytest.raises(Forged):
            check(each, key, NOW)
    for wrong in ("another-key", ""):
        with pytest.raises(Forged):
            check(callback, wrong, NOW)


@pytest.mark.parametrize("name", ["sinch", "messagebird's hash", "messagebird's token", "vonage"])
def test_a_signature_is_believed_for_five_minutes_at_most(name: str) -> None:
    check, key, callback = MADE[name]

    for seconds in (-400, 400):
        with pytest.raises(Forged):
            check(callback, key, NOW + seconds * SECOND)


def test_a_json_body_of_twilio_counts_only_with_its_hash_in_the_signed_address() -> None:
    url, body = "https://us.example/webhooks/sms?message=7", b'{"MessageSid": "SM1"}'
    # Signed as the address alone: without the hash in it nobody vouches for the body.
    headers = {"x-twilio-signature": sms_twilio.seal(url, b""), "content-type": "application/json"}

    with pytest.raises(Forged, match="bodySHA256"):
        by_twilio(Callback(url, headers, body), sms_twilio.TOKEN, NOW)


def test_two_tokens_are_believed_while_one_follows_the_other() -> None:
    callback = sms_twilio.told("delivered")

    fields = twilio.signed_fields(callback, tokens=["the new one", sms_twilio.TOKEN])

    assert dict(fields)["MessageStatus"] == "delivered"


def a_token(head: dict[str, str], *, seal: bytes = b"") -> str:
    parts = [json.dumps(it).encode() for it in (head, {"iss": "MessageBird"})]
    return ".".join(urlsafe_b64encode(it).rstrip(b"=").decode() for it in [*parts, seal])


@pytest.mark.parametrize(
    "token",
    [
        a_token({"alg": "none"}),
        a_token({"alg": "RS256"}, seal=b"x"),
        a_token({}),
        a_token({"alg": "HS256"}),
        "a.b.c",
        "..",
        "é.é.é",
        "x" * 9_000 + "..",
        "W10.W10.W10",
    ],
)
def test_a_token_of_another_kind_is_no_proof(token: str) -> None:
    with pytest.raises(Forged):
        read_bearer(token, secrets=["a-secret", ""], algorithms=("HS256",))
