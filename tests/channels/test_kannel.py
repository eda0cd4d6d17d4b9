"""Kannel itself, with its fake carrier: what we send arrives, what it reports is read."""

import asyncio
import random
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty
from urllib.parse import parse_qs, urlsplit

import pytest

from channels import open_provider
from channels.base import Accepted, OutMessage, Provider, Receipt, RefusedBy
from channels.callbacks import Callback, Echo
from channels.delivery import DeliveryEvent
from channels.sms.keywords import Intent, intent_of_event
from engine.cli import main
from engine.core.errors import Forged, UsageError
from tests.channels.kannel_gateway import IS_INSTALLED, Gateway, kannel
from tests.engine.test_send_test import workspace

TOKEN = "a-long-secret"
PHONE = "+4915112345678"

needs_kannel = pytest.mark.skipif(
    not IS_INSTALLED, reason="Kannel is not installed: apt install kannel kannel-extras"
)


def present() -> int:
    return time.time_ns() // 1000


def opened(directory: Path, **settings: object) -> Provider:
    whole = {"username": "antiphon", "password": "a-password", "from": "13013", **settings}
    return open_provider(
        "sms", "kannel", whole, directory=directory, rng=random.Random(1), now=present
    )


def sent(provider: Provider, messages: Iterable[OutMessage]) -> list[Receipt]:
    async def all_of_them() -> list[Receipt]:
        try:
            return [await provider.deliver(message) for message in messages]
        finally:
            await provider.close()

    return asyncio.run(all_of_them())


def read(provider: Provider, gateway: Gateway, public: str, *, n: int) -> list[DeliveryEvent]:
    """What the next n calls of Kannel's say."""
    found: list[DeliveryEvent] = []
    for _ in range(n):
        try:
            path = gateway.called.get(timeout=10)
        except Empty:
            raise AssertionError(f"Kannel called {len(found)} times, not {n}") from None
        url = public.removesuffix("/webhooks/sms") + path
        found += asyncio.run(provider.read_callback(Callback(url, method="GET"))).events
    return found


def a_text(id: int, text: str) -> OutMessage:
    return OutMessage(id, "sms", PHONE, text=text, metadata={"message": str(id)})


@needs_kannel
def test_texts_arrive_whole_and_the_gateway_reports_them(tmp_path: Path) -> None:
    unicode, long, signs = "Grüße 😀", "Käse & Brot = 5 € + " * 12, "100% [ok] {~}"
    messages = [a_text(7, unicode), a_text(8, long), a_text(9, signs)]

    with kannel(tmp_path, token=TOKEN, says="+15550001 13013 text STOP now") as (gateway, public):
        provider = opened(tmp_path, base_url=gateway.url, callback_url=public, webhook_token=TOKEN)
        receipts = sent(provider, messages)
        # Two reports on each of three messages, and one answer of a person.
        events = read(provider, gateway, public, n=7)
        carried = gateway.carried()

    assert receipts == [Accepted("0: Accepted for delivery")] * 3
    assert "%00G%00r%00%FC%00%DF%00e%00+%D8%3D%DE%00" in carried  # UCS-2, its pair whole
    # 12 x 21 septets and 12 of them twice, for the euro sign: two parts of 153.
    assert carried.count("udh %05%00%03") == 2
    assert "text 100% [ok] {~}>" in carried
    about = {(event.message, event.kind) for event in events if event.kind != "inbound"}
    assert about == {(id, kind) for id in (7, 8, 9) for kind in ("sent", "delivered")}
    assert {event.recipient for event in events if event.kind != "inbound"} == {PHONE}
    assert len({event.event_id for event in events}) == 7
    assert all(abs(event.at - present()) < 60_000_000 for event in events)
    (answer,) = (event for event in events if event.kind == "inbound")
    assert (answer.recipient, answer.text, answer.message) == ("+15550001", "STOP now", None)
    assert intent_of_event(answer) == Intent("stop")
    assert "<13013 +15550001 " not in carried  # nobody is texted back what we answer Kannel


@needs_kannel
def test_a_wrong_password_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with kannel(tmp_path, token=TOKEN, says="+15550001 13013 text hi") as (gateway, _):
        (receipt,) = sent(
            opened(tmp_path, base_url=gateway.url, password="another"), [a_text(1, "Hi")]
        )

    assert receipt == RefusedBy("config", "http 403", "Authorization failed for sendsms")


@needs_kannel
def test_a_test_message_of_a_workspace_reaches_the_phone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with kannel(tmp_path, token=TOKEN, says="+15550001 13013 text hi") as (gateway, _):
        settings = {"provider": "kannel", "base_url": gateway.url, "username": "antiphon",
                    "password": "a-password", "from": "13013"}  # fmt: skip
        shop = workspace(tmp_path / "shop", "sms", settings)
        code = main(["send-test", "nudge", "remind", str(shop), "--to", PHONE])
        said = capsys.readouterr().out
        deadline = time.monotonic() + 5
        while "Got message" not in gateway.carried() and time.monotonic() < deadline:
            time.sleep(0.05)
        carried = gateway.carried()

    assert code == 0, said
    assert "sms.kannel: accepted as 0: Accepted for delivery" in said
    assert f"Got message 1: <13013 {PHONE} ucs-2 %00G%00r%00%FC%00%DF%00e" in carried


def test_the_words_of_a_refusal_by_the_carrier_say_what_is_wrong_with_the_number(
    tmp_path: Path,
) -> None:
    provider = opened(tmp_path, base_url="http://127.0.0.1:1", webhook_token=TOKEN)
    refused = "NACK%2F11%2FInvalid+Destination+Address"
    expired = "id%3A1+sub%3A001+stat%3AEXPIRED+err%3A027"

    events = [
        asyncio.run(provider.read_callback(Callback(url))).events[0]
        for url in (
            f"https://a.example/w?token={TOKEN}&message=7&type=16&words={refused}",
            f"https://a.example/w?token={TOKEN}&message=7&type=2&words={expired}",
            f"https://a.example/w?token={TOKEN}&message=7&type=34",
            f"https://a.example/w?token={TOKEN}&message=7&type=2",
        )
    ]

    assert [(it.kind, it.bounce_class, it.code) for it in events] == [
        ("rejected", "hard", "NACK/11"),
        ("undelivered", "soft", "027"),
        ("undelivered", "soft", ""),
        ("undelivered", "undetermined", ""),
    ]


def test_nothing_is_ever_answered_that_kannel_would_send_as_a_text(tmp_path: Path) -> None:
    provider = opened(tmp_path, base_url="http://127.0.0.1:1", webhook_token=TOKEN)
    url = f"https://a.example/w?token={TOKEN}&from=%2B15550001&to=13013&text=HELP&id=1&at=1"

    echo: Echo = asyncio.run(provider.read_callback(Callback(url, method="GET")))

    assert echo.reply.body == b""


def test_without_a_token_no_report_is_asked_for_and_none_is_believed(tmp_path: Path) -> None:
    provider = opened(
        tmp_path, base_url="http://127.0.0.1:1", callback_url="https://a.example/webhooks/sms"
    )

    call = provider.vendor.call(a_text(7, "Hi"), now=0)  # type: ignore[attr-defined]
    with pytest.raises(Forged, match="webhook_token"):
        asyncio.run(provider.read_callback(Callback("https://a.example/w?type=1&message=7")))

    assert not any("DLR" in name for name in call.headers)


def test_the_address_of_a_report_carries_our_id_and_our_secret_and_leaves_kannel_its_own(
    tmp_path: Path,
) -> None:
    provider = opened(
        tmp_path,
        base_url="http://127.0.0.1:1",
        callback_url="https://a.example/webhooks/sms",
        webhook_token=TOKEN,
    )

    call = provider.vendor.call(a_text(7, "Hi"), now=0)  # type: ignore[attr-defined]

    asked = parse_qs(urlsplit(call.headers["X-Kannel-DLR-URL"]).query)
    assert (asked["message"], asked["token"]) == (["7"], [TOKEN])
    assert call.headers["X-Kannel-DLR-URL"].count("%") == 5


@pytest.mark.parametrize("token", ["50%", "a b", "a/b"])
def test_a_token_that_kannel_would_rewrite_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError, match="Kannel reads % itself") as caught:
        opened(tmp_path, base_url="http://127.0.0.1:1", webhook_token=token)

    assert token not in str(caught.value).replace("% itself", "")
