"""AWS End User Messaging where the contract does not look: its many kinds of senders."""

import random
from pathlib import Path

import pytest
from msgspec import structs

from channels import open_provider
from channels.base import OutMessage, RefusedBy
from channels.calls import Call
from channels.http_provider import HttpProvider
from engine.core.errors import UsageError
from tests.channels.published import json_of
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.sms_aws import CASES, check_call

POOL = "arn:aws:sms-voice:eu-west-1:123456789012:pool/pool-0123456789abcdef"
US_PHONE = "+12125550123"


def opened(**changed: object) -> HttpProvider:
    settings = {**CASES.settings, **changed}
    found = open_provider(
        "sms", "aws", settings, directory=Path(), rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(found, HttpProvider)
    return found


def asked(sender: object, message: OutMessage = CASES.message) -> Call | object:
    return opened(**{"from": sender}).vendor.call(message, now=NOW)


@pytest.mark.parametrize("sender", [POOL, "pool-0123456789abcdef", "+12065550152", "SHOP", "20123"])
def test_an_origination_identity_is_sent_as_it_is_named(sender: str) -> None:
    call = asked(sender)

    assert isinstance(call, Call)
    assert json_of(call)["OriginationIdentity"] == sender
    check_call(call)


def test_without_a_sender_aws_chooses() -> None:
    call = asked("")

    assert isinstance(call, Call)
    assert "OriginationIdentity" not in json_of(call)
    check_call(call)


def test_a_name_is_refused_where_carriers_take_none_and_a_pool_is_not_taken_for_one() -> None:
    message = structs.replace(CASES.message, to=US_PHONE)

    named = asked("SHOP", message)

    assert isinstance(named, RefusedBy)
    assert (named.scope, named.code) == ("message", "name_as_sender")
    assert isinstance(asked("pool-01", message), Call)
    assert isinstance(asked(POOL, message), Call)


def test_what_is_no_identity_is_refused_when_the_channel_is_opened() -> None:
    for sender in ("Läden", "a b", "x" * 257, ["SHOP", "a\nb"]):
        with pytest.raises(UsageError, match="no origination identity"):
            opened(**{"from": sender})


def test_a_channel_of_receipts_says_so() -> None:
    call = opened(message_type="TRANSACTIONAL").vendor.call(CASES.message, now=NOW)

    assert isinstance(call, Call)
    assert json_of(call)["MessageType"] == "TRANSACTIONAL"
    with pytest.raises(UsageError, match="message_type"):
        opened(message_type="URGENT")


def test_a_wrong_request_does_not_pass_the_model_of_aws() -> None:
    call = asked("SHOP")
    assert isinstance(call, Call)

    for right, wrong in ((b'"MessageBody"', b'"Body"'), (b'"TimeToLive":3600', b'"TimeToLive":1')):
        with pytest.raises(AssertionError):
            check_call(structs.replace(call, body=call.body.replace(right, wrong)))
