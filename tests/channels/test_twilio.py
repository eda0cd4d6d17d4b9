"""Twilio where the contract does not look: its recorded callback, its description, its settings."""

import asyncio
import random
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from msgspec import structs
from openapi_core.exceptions import OpenAPIError

from channels import open_provider
from channels.base import OutMessage, RefusedBy
from channels.callbacks import Callback
from channels.calls import Call
from channels.http_provider import HttpProvider
from channels.sms.keywords import Intent, intent_of_event
from engine.core.errors import Forged, Unreadable, UsageError
from tests.channels.published import check_published
from tests.channels.recorded import recorded
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.sms_twilio import (
    ACCOUNT,
    CASES,
    PHONE,
    SENDER,
    TOKEN,
    US,
    inbound,
    seal,
    signed,
)


def opened(**changed: object) -> HttpProvider:
    settings = {**CASES.settings, **changed}
    found = open_provider(
        "sms", "twilio", settings, directory=Path(), rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(found, HttpProvider)
    return found


def called(message: OutMessage, **changed: object) -> Call:
    call = opened(**changed).vendor.call(message, now=NOW)
    assert isinstance(call, Call), call
    return call


def test_a_recorded_report_is_read() -> None:
    body = (recorded("webhooks") / "twilio" / "delivered.txt").read_bytes().strip()

    (event,) = asyncio.run(opened().read_callback(signed(body))).events

    assert (event.kind, event.message) == ("delivered", 7)
    assert event.provider_id == "SM4262411b90e5464b98a4f66a49c57a97"
    assert event.recipient == "+15622089096"


def test_a_report_by_get_is_read_from_the_address_that_is_signed() -> None:
    url = f"{US}?message=7&MessageSid=SM1&MessageStatus=delivered&To=%2B4915112345678"
    callback = Callback(url, {"x-twilio-signature": seal(url, b"")}, method="GET")
    without_name = f"{US}?message=7"
    nameless = Callback(without_name, {"x-twilio-signature": seal(without_name, b"")}, method="GET")

    (event,) = asyncio.run(opened().read_callback(callback)).events

    assert (event.kind, event.message, event.recipient) == ("delivered", 7, PHONE)
    with pytest.raises(Forged):
        asyncio.run(opened().read_callback(structs.replace(callback, url=f"{url}&x=1")))
    with pytest.raises(Unreadable, match="names no message"):
        asyncio.run(opened().read_callback(nameless))


def test_without_a_public_address_no_report_is_asked_for() -> None:
    form = parse_qs(called(CASES.message, callback_url="").body.decode())

    assert "StatusCallback" not in form


def test_an_api_key_authorises_calls_and_the_token_still_proves_callbacks() -> None:
    with_key = called(CASES.message, api_key="SK1", api_secret="key-secret")
    plain = called(CASES.message)
    provider = opened(api_key="SK1", api_secret="key-secret")

    echo = asyncio.run(provider.read_callback(CASES.told[0].callback))

    assert with_key.headers["Authorization"] != plain.headers["Authorization"]
    assert echo.events[0].kind == "queued"


def test_what_advanced_opt_out_has_understood_counts_before_the_words() -> None:
    echo = asyncio.run(opened().read_callback(inbound("BASTA", OptOutType="STOP")))
    unknown = asyncio.run(opened().read_callback(inbound("BASTA")))

    assert intent_of_event(echo.events[0]) == Intent("stop")
    assert intent_of_event(unknown.events[0]) is None
    assert (echo.reply.body, echo.reply.content_type) == (b"<Response/>", "text/xml")


def test_a_service_may_choose_the_sender() -> None:
    form = parse_qs(called(CASES.message, **{"from": ""}).body.decode())

    assert "From" not in form
    assert form["MessagingServiceSid"] == [CASES.settings["messaging_service"]]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"from": "", "messaging_service": ""}, "give `from` or `messaging_service`"),
        ({"auth_token": ""}, "auth_token is empty"),
        ({"api_key": "SK1"}, "api_secret is empty"),
        ({"from": "A name of many letters"}, "a sender is a number"),
    ],
)
def test_settings_that_cannot_send_are_refused_with_a_word(
    changed: dict[str, object], word: str
) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        opened(**changed)

    assert TOKEN not in str(caught.value)


def test_a_wrong_request_does_not_pass_twilios_own_description() -> None:
    recorded("provider_apis/twilio_messages.json")
    call = called(CASES.message)
    without_to = structs.replace(call, body=call.body.replace(b"To=", b"Too="))
    elsewhere = structs.replace(call, url=call.url.replace(ACCOUNT, "AC1"))

    for wrong in (without_to, elsewhere):
        with pytest.raises(OpenAPIError):
            check_published(wrong, "twilio_messages", host="https://api.twilio.com")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"to": "4915112345678"}, ("recipient", "not_e164", None)),
        ({"to": "+493012345678"}, ("recipient", "deaf_number", "hard")),
        ({"to": "+499001123456"}, ("recipient", "deaf_number", "hard")),
        ({"text": " \n"}, ("message", "empty", None)),
        ({"text": "a" * 1_601}, ("message", "too_long", None)),
        ({"text": "a\0b"}, ("message", "control_character", None)),
        ({"from_": "Shop", "to": "+12125550123"}, ("message", "name_as_sender", None)),
        ({"from_": "Shop", "to": "+14165550123"}, ("message", "name_as_sender", None)),
        ({"from_": "A very long name"}, ("message", "bad_sender", None)),
    ],
)
def test_what_no_vendor_could_deliver_never_leaves(
    changed: dict[str, str], expected: tuple[str, str, str | None]
) -> None:
    receipt = opened().vendor.call(structs.replace(CASES.message, **changed), now=NOW)

    assert isinstance(receipt, RefusedBy)
    assert (receipt.scope, receipt.code, receipt.bounce) == expected
    assert changed.get("to", PHONE) not in receipt.text


def test_a_name_is_taken_where_carriers_take_it_and_the_longest_text_too() -> None:
    message = structs.replace(CASES.message, from_="Shop", text="a" * 1_600)

    assert parse_qs(called(message).body.decode())["From"] == ["Shop"]


def test_a_person_always_hears_from_the_same_number() -> None:
    senders = [SENDER, "+15005550007", "+15005550008"]
    people = [f"+49151123456{n:02}" for n in range(60)]

    def heard(senders: list[str]) -> dict[str, str]:
        vendor, found = opened(**{"from": senders}).vendor, {}
        for to in people:
            call = vendor.call(structs.replace(CASES.message, to=to), now=NOW)
            assert isinstance(call, Call)
            found[to] = parse_qs(call.body.decode())["From"][0]
        return found

    first, again, fewer = heard(senders), heard(senders[::-1]), heard(senders[:2])

    assert first == again
    assert set(first.values()) == set(senders)
    # A number given back moves only the people it had.
    assert {to: it for to, it in first.items() if it in senders[:2]}.items() <= fewer.items()


def test_the_address_of_reports_keeps_the_query_it_has() -> None:
    call = called(CASES.message, callback_url=f"{US}?account=2")

    assert parse_qs(call.body.decode())["StatusCallback"] == [f"{US}?account=2&message=7"]
