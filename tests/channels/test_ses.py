"""SES against moto: the request as AWS' own model parses it, and an identity nobody verified."""

import asyncio
import random
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer
from moto.ses.models import ses_backends

from channels import open_provider
from channels.aws_sigv4 import AwsKeys, signed
from channels.base import Accepted, OutMessage, Receipt, RefusedBy
from channels.calls import json_call
from tests.channels.email_cases import MESSAGE, SENDER
from tests.channels.vendor_cases import NOW

KEYS = AwsKeys("AKIDEXAMPLE", "secret")


@pytest.fixture
def moto() -> Iterator[str]:
    """A server that knows one verified sender."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    base_url = f"http://{host}:{port}"
    try:
        body = {"EmailIdentity": "hello@shop.example"}
        call = json_call(f"{base_url}/v2/email/identities", body, headers={})
        call = signed(call, keys=KEYS, region="eu-west-1", service="ses", now=NOW)
        answer = httpx.post(call.url, headers=dict(call.headers), content=call.body)
        assert answer.status_code == 200, answer.text
        yield base_url
    finally:
        httpx.post(f"{base_url}/moto-api/reset")
        server.stop()


def deliver(base_url: str, message: OutMessage, **settings: Any) -> Receipt:
    async def sent() -> Receipt:
        provider = open_provider(
            "email",
            "ses",
            {
                **SENDER,
                "region": "eu-west-1",
                "access_key_id": KEYS.access_key_id,
                "secret_access_key": KEYS.secret_access_key,
                "base_url": base_url,
                **settings,
            },
            directory=Path("nowhere"),
            rng=random.Random(1),
            now=lambda: NOW,
        )
        try:
            return await provider.deliver(message)
        finally:
            await provider.close()

    return asyncio.run(sent())


def test_a_mail_arrives_as_it_was_written(moto: str) -> None:
    receipt = deliver(moto, MESSAGE)

    [arrived] = ses_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].sent_messages
    assert receipt == Accepted(arrived.id)
    assert set(arrived.destinations) == {MESSAGE.to}
    mail = message_from_bytes(arrived.raw_data.encode(), policy=policy.default)
    assert mail["Subject"] == MESSAGE.subject
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_sender_nobody_verified_is_refused_and_burns_nobody(moto: str) -> None:
    receipt = deliver(
        moto, OutMessage(8, "email", "ada@example.com", text="x", from_="a@b.example")
    )

    # Its words are moto's own; AWS says "is not verified", which the cases class as config.
    assert isinstance(receipt, RefusedBy)
    assert (receipt.code, receipt.bounce) == ("MessageRejected", None)
    assert "a@b.example" not in receipt.text
