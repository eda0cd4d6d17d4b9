"""Sinch where the contract does not look: an account that signs nothing, the secret before."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from msgspec import structs

from channels import open_provider
from channels.base import OutMessage
from channels.callbacks import Callback
from channels.calls import Call
from channels.http_provider import HttpProvider
from engine.core.errors import Forged, UsageError
from tests.channels.published import json_of
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.sms_sinch import CASES, US, told

REPORT = json.dumps({
    "type": "recipient_delivery_report_sms", "batch_id": "b-1", "code": 0, "status": "DELIVERED",
    "recipient": "4915112345678", "client_reference": "7", "at": "2026-03-02T10:00:00Z",
}).encode()  # fmt: skip


def opened(**changed: object) -> HttpProvider:
    settings = {**CASES.settings, **changed}
    found = open_provider(
        "sms", "sinch", settings, directory=Path(), rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(found, HttpProvider)
    return found


def called(provider: HttpProvider, message: OutMessage = CASES.message) -> Call:
    call = provider.vendor.call(message, now=NOW)
    assert isinstance(call, Call), call
    return call


def test_an_account_that_signs_nothing_proves_itself_by_our_own_secret() -> None:
    provider = opened(webhook_secret="", webhook_token="our-own-secret")
    address = json_of(called(provider))["callback_url"]

    (event,) = asyncio.run(provider.read_callback(Callback(address, {}, REPORT))).events

    assert (event.kind, event.message, event.at) == ("delivered", 7, NOW)
    with pytest.raises(Forged):
        asyncio.run(provider.read_callback(Callback(US, {}, REPORT)))
    with pytest.raises(Forged, match="webhook_secret or webhook_token"):
        asyncio.run(opened(webhook_secret="").read_callback(Callback(address, {}, REPORT)))
    # Where callbacks are signed, our own secret is no way around the signature.
    both = opened(webhook_token="our-own-secret")
    with pytest.raises(Forged):
        asyncio.run(both.read_callback(Callback(address, {}, REPORT)))


def test_the_secret_of_yesterday_is_believed_while_it_changes() -> None:
    changing = opened(
        webhook_secret="the-new-one", webhook_secret_old=CASES.settings["webhook_secret"]
    )

    assert asyncio.run(changing.read_callback(told("Delivered"))).events[0].kind == "delivered"
    with pytest.raises(Forged):
        asyncio.run(opened(webhook_secret="the-new-one").read_callback(told("Delivered")))


def test_without_a_public_address_no_report_is_asked_for() -> None:
    body = json_of(called(opened(callback_url="")))

    assert body["delivery_report"] == "none"
    assert "callback_url" not in body


def test_the_region_names_the_host_and_a_plan_cannot_leave_its_place() -> None:
    call = called(opened(region="us", service_plan_id="../../x"))

    assert call.url == "https://us.sms.api.sinch.com/xms/v1/..%2F..%2Fx/batches"
    with pytest.raises(UsageError, match="region"):
        opened(region="mars")


def test_a_message_without_an_end_is_kept_as_long_as_sinch_likes() -> None:
    endless = OutMessage(7, "sms", "+4915112345678", text="Hi", metadata={"message": "7"})
    ended = structs.replace(CASES.message, expires_at=NOW - 1)

    assert "expire_at" not in json_of(called(opened(), endless))
    # What expired on its way to us still gets the shortest life that Sinch knows.
    assert json_of(called(opened(), ended))["expire_at"] == "2026-03-02T10:01:00Z"
