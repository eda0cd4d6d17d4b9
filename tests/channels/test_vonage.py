"""Vonage where the contract's cases do not look: the Messages API, and the other two proofs."""

import asyncio
import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from openapi_core.exceptions import OpenAPIError

from channels import open_provider
from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.http_provider import HttpProvider
from channels.sms.text import measure
from engine.core.errors import Forged, UsageError
from tests.channels import contract_callbacks, contract_requests, contract_sending
from tests.channels.published import check_fields, check_published, json_of
from tests.channels.recorded import recorded
from tests.channels.test_provider_contract import Claim, held
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases
from tests.channels.vendors.sms_vonage import (
    CASES,
    PHONE,
    SECONDS,
    SIGNING,
    US,
    receipt,
    signed,
    token,
    with_sig,
)

ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
FIELDS = {"!channel": str, "!message_type": str, "!to": str, "!from": str, "!text": str,
          "client_ref": str, "webhook_url": str, "ttl": int}  # fmt: skip


def check_call(call: Call) -> None:
    body = json_of(call)
    assert call.url == "https://api.nexmo.com/v1/messages"
    check_fields(body, FIELDS)
    assert re.fullmatch(r"\d{7,15}", body["to"])
    assert (body["channel"], body["message_type"], body["ttl"]) == ("sms", "text", 3600)


def status(word: str, **more: Any) -> Callback:
    told = {"message_uuid": ID, "to": "4915112345678", "from": "447700900001",
            "timestamp": "2026-03-02T10:00:00Z", "status": word, "client_ref": "7",
            "channel": "sms", **more}  # fmt: skip
    return signed(json.dumps(told).encode())


def fault(title: int, detail: str) -> dict[str, Any]:
    return {"error": {"type": "https://developer.nexmo.com/api-errors", "title": title,
                      "detail": detail, "instance": "bf0ca0bf"}}  # fmt: skip


def problem(code: int, title: str) -> Answer:
    body = {"type": "https://developer.vonage.com/api-errors", "title": title, "detail": "Because",
            "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf"}  # fmt: skip
    return Answer(code, {}, json.dumps(body).encode())


OPTED_OUT = fault(1240, "Illegal Number - the user has requested not to receive messages")
MESSAGES = VendorCases(
    provider="sms.vonage",
    settings={**CASES.settings, "api": "messages"},
    message=CASES.message,
    check_call=check_call,
    accepted=Answered(
        "taken", Answer(202, {}, json.dumps({"message_uuid": ID}).encode()), Accepted(ID)
    ),
    answered=(
        Answered("key", problem(401, "You did not provide correct credentials."), RefusedBy),
        Answered("no credit", problem(402, "Low balance"),
                 RefusedBy("account", "http 402", "Low balance: Because")),
        Answered("fields", problem(422, "Your request body was invalid"), RefusedBy),
        Answered("too fast", problem(429, "Throttled"), Throttled),
        Answered("broken", problem(500, "Internal error"), Ambiguous),
    ),
    told=(
        Told("at the carrier", status("submitted"), [{"kind": "sent", "provider_id": ID}]),
        Told("delivered", status("delivered"), [
            {"kind": "delivered", "message": 7, "recipient": PHONE, "at": NOW}]),
        Told("gone", status("undeliverable", **fault(1190, "Absent Subscriber - Permanent")), [
            {"kind": "undelivered", "bounce_class": "hard", "code": "1190"}]),
        Told("opted out", status("rejected", **OPTED_OUT), [
            {"kind": "rejected", "message": 7}, {"kind": "unsubscribed", "message": 7}]),
        Told("answer", signed(json.dumps({
            "message_uuid": "in-1", "to": "447700900001", "from": "4915112345678",
            "timestamp": "2026-03-02T10:00:00Z", "channel": "sms", "message_type": "text",
            "text": "Stop 😀", "sms": {"num_messages": "1", "keyword": "STOP"},
        }).encode()), [{"kind": "inbound", "recipient": PHONE, "text": "Stop 😀"}]),
    ),
    forge=lambda it: structs.replace(it, body=it.body.replace(b"4915112345678", b"4915112345670")),
    unknown=status("teleported"),
    sign=signed,
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for claim in (
        *contract_sending.CLAIMS,
        *contract_requests.CLAIMS,
        *contract_callbacks.CLAIMS,
    )
    # What it can do is told once, of both APIs together.
    if claim is not contract_callbacks.what_it_can_do_is_what_it_shows
)


def opened(**changed: object) -> HttpProvider:
    settings = {**CASES.settings, **changed}
    found = open_provider(
        "sms", "vonage", settings, directory=Path(), rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(found, HttpProvider)
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_the_messages_api_keeps_the_contract_too(claim: Claim) -> None:
    held(claim, MESSAGES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("delivered", ("delivered", "", None)),
        ("rejected", ("rejected", "1000", "soft")),
        ("undeliverable", ("undelivered", "1260", "undetermined")),
    ],
)
def test_recorded_reports_are_read(name: str, expected: tuple[str, str, str | None]) -> None:
    body = (recorded("webhooks") / "vonage" / f"{name}.json").read_bytes()

    (event,) = asyncio.run(opened().read_callback(signed(body))).events

    assert (event.kind, event.code, event.bounce_class) == expected
    assert event.provider_id == ID
    assert event.message is None  # its client_ref is a word of somebody else's


def test_the_older_signature_over_the_parameters_holds_and_is_timed() -> None:
    callback = with_sig(receipt("delivered", to="A & B=C"))
    forged = structs.replace(callback, body=callback.body.replace(b'"delivered"', b'"failed"'))
    late = opened().vendor

    (event,) = asyncio.run(opened().read_callback(callback)).events

    assert (event.kind, event.message) == ("delivered", 7)
    assert "sig" not in event.raw
    with pytest.raises(Forged, match="signature_method"):
        asyncio.run(opened().read_callback(forged))
    with pytest.raises(Forged, match="s from now"):
        late.read_callback(callback, now=NOW + 600_000_000)


def test_the_oldest_signature_is_known_where_the_account_has_it() -> None:
    fields = {**receipt("delivered"), "timestamp": str(SECONDS)}
    text = "".join(f"&{name}={value}" for name, value in sorted(fields.items()))
    sig = hashlib.md5((text + SIGNING).encode(), usedforsecurity=False).hexdigest()
    body = json.dumps({**fields, "sig": sig}).encode()
    callback = Callback(US, {"content-type": "application/json"}, body)

    (event,) = asyncio.run(opened(signature_method="md5hash").read_callback(callback)).events

    assert event.kind == "delivered"
    with pytest.raises(Forged):
        asyncio.run(opened().read_callback(callback))


def test_an_account_that_signs_nothing_proves_itself_by_our_own_secret() -> None:
    unsigned = json.dumps(receipt("delivered")).encode()
    provider = opened(signature_secret="", webhook_token="our-own-secret")
    query = "&".join(f"{name}={value}" for name, value in receipt("failed", "3").items())

    by_post = provider.read_callback(Callback(f"{US}?token=our-own-secret", {}, unsigned))
    by_get = provider.read_callback(Callback(f"{US}?token=our-own-secret&{query}", method="GET"))

    assert asyncio.run(by_post).events[0].kind == "delivered"
    assert asyncio.run(by_get).events[0].bounce_class == "hard"
    with pytest.raises(Forged):
        asyncio.run(provider.read_callback(Callback(US, {}, unsigned)))
    with pytest.raises(Forged, match="signature_secret or webhook_token"):
        asyncio.run(opened(signature_secret="").read_callback(Callback(US, {}, unsigned)))
    with pytest.raises(Forged, match="turn on signed webhooks"):
        asyncio.run(opened().read_callback(Callback(US, {}, unsigned)))


def test_our_own_secret_stands_in_the_address_that_vonage_is_given() -> None:
    for api, field in (("sms", b"callback="), ("messages", b'"webhook_url":')):
        provider = opened(api=api, signature_secret="", webhook_token="our-own-secret")
        call = provider.vendor.call(CASES.message, now=NOW)

        assert isinstance(call, Call)
        assert field in call.body
        assert re.search(rb"token(=|%3D)our-own-secret", call.body)


def test_the_secret_of_yesterday_is_believed_while_vonage_changes_over() -> None:
    body = json.dumps(receipt("delivered")).encode()
    old = Callback(US, {"authorization": f"Bearer {token(body, secret='the-secret-before')}"}, body)
    provider = opened(signature_secret_old="the-secret-before")

    assert asyncio.run(provider.read_callback(old)).events[0].kind == "delivered"
    with pytest.raises(Forged):
        asyncio.run(opened().read_callback(old))


def test_plain_letters_are_sent_in_the_cheaper_alphabet() -> None:
    for text, kind in (("Grüße für 10 €", b"type=text"), ("Привет", b"type=unicode")):
        call = opened().vendor.call(structs.replace(CASES.message, text=text), now=NOW)

        assert isinstance(call, Call)
        assert kind in call.body
        assert (measure(text).encoding == "gsm") == (kind == b"type=text")


def test_a_wrong_request_does_not_pass_vonages_own_description() -> None:
    recorded("provider_apis/vonage_sms.yml")
    call = opened().vendor.call(CASES.message, now=NOW)
    assert isinstance(call, Call)
    wrong = [
        structs.replace(call, body=call.body.replace(b"from=", b"form=")),
        structs.replace(call, body=call.body.replace(b"type=unicode", b"type=emoji")),
        structs.replace(call, body=call.body.replace(b"ttl=3600000", b"ttl=1")),
        structs.replace(call, url=call.url.replace("/sms/", "/mms/")),
    ]

    for each in wrong:
        with pytest.raises(OpenAPIError):
            check_published(each, "vonage_sms", host="https://rest.nexmo.com")


def test_a_sender_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="give `from`"):
        opened(**{"from": ""})
