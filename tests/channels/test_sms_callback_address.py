"""Where providers report to: told to those that are told with every message, to nobody else."""

import random
from pathlib import Path

import pytest

from channels import PROVIDERS, TOLD_WHERE, open_provider
from channels.calls import Call
from channels.http_provider import HttpProvider
from tests.channels.test_provider_contract import CASES
from tests.channels.vendor_cases import NOW

PUBLIC = "https://shop.example/webhooks/texts"


def carries_address(provider: str, **settings: str) -> str:
    """The request of a provider that the engine tells our address, address and headers too."""
    channel, _, name = provider.partition(".")
    kept = {it: value for it, value in CASES[provider].settings.items() if it != "callback_url"}
    opened = open_provider(
        channel,
        name,
        {**kept, **settings},
        directory=Path(),
        rng=random.Random(1),
        now=lambda: NOW,
        callback_url=PUBLIC,
    )
    assert isinstance(opened, HttpProvider)
    call = opened.vendor.call(CASES[provider].message, now=NOW)
    assert isinstance(call, Call)
    return f"{call.url} {dict(call.headers)} {call.body.decode()}"


@pytest.mark.parametrize("provider", sorted(TOLD_WHERE))
def test_the_engines_address_goes_out_with_every_message(provider: str) -> None:
    assert "shop.example" in carries_address(provider)


def test_an_address_that_the_operator_wrote_comes_first() -> None:
    told = carries_address("sms.twilio", callback_url="https://own.example/hook")

    assert "own.example" in told
    assert "shop.example" not in told


def test_whoever_is_told_is_a_provider_and_the_others_open_as_before() -> None:
    assert set(PROVIDERS) >= TOLD_WHERE
    assert "shop.example" not in carries_address("sms.aws")
