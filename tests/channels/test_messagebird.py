"""Bird, the platform that follows MessageBird's; and callbacks that nobody signed."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import structs

from channels import open_provider
from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.http_provider import HttpProvider
from engine.core.errors import Forged, Unreadable, UsageError
from tests.channels import contract_callbacks, contract_requests, contract_sending
from tests.channels.published import check_fields, json_of
from tests.channels.test_provider_contract import Claim, held
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases
from tests.channels.vendors.sms_messagebird import (
    CASES,
    PHONE,
    US,
    forge,
    report,
    with_hash,
    with_token,
)

ID = "96a0b5fa-a986-453d-be5c-3117f989f025"
FIELDS = {
    "!receiver": {"!contacts": [{"identifierKey": str, "!identifierValue": str}]},
    "!body": {"!type": str, "!text": {"!text": str}},
    "reference": str,
}


def check_call(call: Call) -> None:
    """https://docs.bird.com/api/channels-api/supported-channels/programmable-sms"""
    body = json_of(call)
    assert call.url == "https://api.bird.com/workspaces/w-1/channels/c-1/messages"
    assert call.headers["Authorization"] == "AccessKey test-access-key"
    check_fields(body, FIELDS)
    assert body["receiver"]["contacts"][0]["identifierValue"] == PHONE
    assert body["reference"] == "7"


def signed(body: bytes) -> Callback:
    return with_hash(Callback(US, {"content-type": "application/json"}, body), whole=True)


def told(status: str, code: str = "", **more: Any) -> Callback:
    payload = {
        "id": ID, "channelId": "c-1", "status": status, "direction": "outgoing",
        "receiver": {"contacts": [{"id": "p-1", "identifierKey": "phonenumber",
                                   "identifierValue": PHONE}]},
        "reference": "7", "lastStatusAt": "2026-03-02T10:00:00.000Z",
        **({"failure": {"code": 15001, "source": {"name": "sms-messagebird", "code": code}}}
           if code else {}), **more,
    }  # fmt: skip
    return signed(
        json.dumps({"service": "channels", "event": "sms.outbound", "payload": payload}).encode()
    )


ANSWER = {
    "service": "channels", "event": "sms.inbound", "payload": {
        "id": "in-1", "channelId": "c-1", "direction": "incoming", "status": "delivered",
        "sender": {"contact": {"id": "p-1", "identifierKey": "phonenumber",
                               "identifierValue": PHONE}},
        "receiver": {"connector": {"id": "86cc4dc0"}},
        "body": {"type": "text", "text": {"text": "Stop 😀"}},
        "createdAt": "2026-03-02T10:00:00.000Z",
    },
}  # fmt: skip

BIRD = VendorCases(
    provider="sms.messagebird",
    settings={
        "api": "bird", "access_key": "test-access-key", "workspace": "w-1", "channel": "c-1",
        "signing_key": CASES.settings["signing_key"],
    },
    message=CASES.message,
    check_call=check_call,
    accepted=Answered(
        "taken", Answer(202, {}, json.dumps({"id": ID, "status": "accepted"}).encode()),
        Accepted(ID),
    ),
    answered=(
        Answered("key", Answer(401, {}, b'{"code": "Unauthorized", "message": "no"}'), RefusedBy),
        Answered("fields", Answer(422, {}, b'{"code": "InvalidPayload", "message": "no"}'),
                 RefusedBy),
        Answered("too fast", Answer(429, {"retry-after": "1"}), Throttled),
        Answered("broken", Answer(500, body=b"oops"), Ambiguous),
    ),
    told=(
        Told("taken", told("accepted"), [{"kind": "queued", "message": 7, "provider_id": ID}]),
        Told("sent", told("sent"), [{"kind": "sent", "message": 7}]),
        Told("delivered", told("delivered"), [
            {"kind": "delivered", "recipient": PHONE, "at": NOW}]),
        Told("no such phone", told("delivery_failed", "1", reason=f"unknown {PHONE}"), [
            {"kind": "failed", "bounce_class": "hard", "code": "1",
             "reason": "unknown <number>"}]),
        Told("answer", signed(json.dumps(ANSWER).encode()), [
            {"kind": "inbound", "recipient": PHONE, "text": "Stop 😀"}]),
    ),
    forge=forge,
    unknown=told("teleported"),
    sign=signed,
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for claim in (
        *contract_sending.CLAIMS,
        *contract_requests.CLAIMS,
        *contract_callbacks.CLAIMS,
    )
    # What it can do is told once, of both platforms together.
    if claim is not contract_callbacks.what_it_can_do_is_what_it_shows
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_bird_keeps_the_contract_too(claim: Claim) -> None:
    held(claim, BIRD)


def opened(settings: Any) -> HttpProvider:
    found = open_provider(
        "sms", "messagebird", settings, directory=Path(), rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(found, HttpProvider)
    return found


def test_reports_come_by_get_by_form_and_by_json() -> None:
    query = report("delivered").url.partition("?")[2]
    fields = dict(pair.split("=", 1) for pair in query.split("&"))
    form = Callback(US, {"content-type": "application/x-www-form-urlencoded"}, query.encode())
    plain = json.dumps({**fields, "statusDatetime": "2026-03-02T10:00:00Z"}).encode()
    by_json = Callback(US, {"content-type": "application/json"}, plain)
    provider = opened(CASES.settings)

    for callback in (report("delivered"), form, by_json):
        (event,) = asyncio.run(provider.read_callback(with_token(callback))).events
        assert (event.kind, event.message, event.recipient) == ("delivered", 7, PHONE)


def test_callbacks_need_a_key_of_ours_and_words_of_theirs() -> None:
    without_key = {name: it for name, it in CASES.settings.items() if name != "signing_key"}
    empty = with_token(Callback(f"{US}?{urlencode({'id': '1'})}", method="GET"))

    with pytest.raises(Forged, match="fill signing_key"):
        asyncio.run(opened(without_key).read_callback(report("delivered")))
    with pytest.raises(Forged, match="not signed"):
        asyncio.run(opened(CASES.settings).read_callback(report("delivered")))
    with pytest.raises(Unreadable, match="no report and no answer"):
        asyncio.run(opened(CASES.settings).read_callback(empty))


def test_the_key_of_yesterday_is_believed_while_it_changes() -> None:
    callback = with_token(report("delivered"), key="the-key-before")
    changing = opened({**CASES.settings, "signing_key_old": "the-key-before"})

    assert asyncio.run(changing.read_callback(callback)).events[0].kind == "delivered"
    with pytest.raises(Forged):
        asyncio.run(opened(CASES.settings).read_callback(callback))


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"from": ""}, "give `from`"), ({"api": "bird"}, "workspace is empty")],
)
def test_settings_that_cannot_send_are_refused_with_a_word(
    changed: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        opened({**CASES.settings, **changed})


def test_a_name_may_stand_in_for_birds_own_sender_anywhere() -> None:
    # Its channel knows the sender: what a template or a channel says of one is not looked at.
    message = structs.replace(CASES.message, from_="Shop", to="+12125550123")

    assert isinstance(opened(BIRD.settings).vendor.call(message, now=NOW), Call)
