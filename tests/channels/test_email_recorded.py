"""Callbacks of vendors as others recorded them, and the vendors' own vectors of signatures."""

import asyncio
import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from channels import open_provider
from channels.callbacks import Callback
from channels.delivery import DeliveryEvent
from engine.core.errors import Forged
from engine.core.model.instants import SECOND
from tests.channels.recorded import recorded, vectors
from tests.channels.vendor_cases import NOW
from tests.channels.vendors import email_resend, email_sendgrid

TOKEN = "test-webhook-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
MAILGUN_KEY = "key-0p6mqbf74lb20gzq9f4dhpn9rg3zyk26"


def read(
    provider: str,
    body: bytes,
    headers: dict[str, str] = BEARER,
    *,
    now: int = NOW,
    **settings: Any,
) -> list[DeliveryEvent]:
    async def told() -> list[DeliveryEvent]:
        opened = open_provider(
            "email",
            provider,
            {"from": "hello@shop.example", **settings},
            directory=Path("nowhere"),
            rng=random.Random(1),
            now=lambda: now,
        )
        try:
            return list((await opened.read_callback(Callback("https://us", headers, body))).events)
        finally:
            await opened.close()

    return asyncio.run(told())


POSTMARK = {
    "bounce.json": ("bounced", "hard"),
    "delivery.json": ("delivered", None),
    "link_click.json": ("clicked", None),
    "open.json": ("opened", None),
    "spam_complaint.json": ("complained", None),
    # Its reason is a hard bounce: nobody asked for it.
    "subscription_change.json": ("rejected", None),
}
BREVO = {
    "blocked.json": ("rejected", None),
    "click.json": ("clicked", None),
    "complaint.json": ("complained", None),
    "defered.json": ("deferred", None),
    "delivered.json": ("delivered", None),
    "error.json": ("bounced", "hard"),  # so named by who recorded it; it says invalid_email
    "hard_bounce.json": ("bounced", "hard"),
    "invalid_email.json": ("bounced", "hard"),
    "opened.json": ("opened", None),
    "proxy_open.json": ("opened", None),
    "request.json": ("queued", None),
    "request_without_tags.json": ("queued", None),
    "soft_bounce.json": ("bounced", "soft"),
    "unique_opened.json": ("opened", None),
    "unsubscribed.json": ("unsubscribed", None),
}
MAILGUN = {
    "accepted.json": ("queued", None),
    "clicks.json": ("clicked", None),
    "delivered_messages.json": ("delivered", None),
    "opens.json": ("opened", None),
    "permanent_failure.json": ("bounced", "hard"),
    "permanent_failure_no_description.json": ("bounced", "hard"),
    "spam_complaints.json": ("complained", None),
    "suppression_failure.json": ("rejected", None),
    "temporary_failure.json": ("deferred", None),
    "unsubscribes.json": ("unsubscribed", None),
}


@pytest.mark.parametrize("name", POSTMARK)
def test_postmarks_events_say_what_happened(name: str) -> None:
    body = recorded(f"webhooks/postmark/{name}").read_bytes()

    [event] = read("postmark", body, server_token="x", webhook_token=TOKEN)

    assert (event.kind, event.bounce_class) == POSTMARK[name]
    assert event.recipient == "john@example.com"
    assert event.provider_id == "00000000-0000-0000-0000-000000000000"
    assert datetime(2022, 9, 2).timestamp() < event.at / SECOND < datetime(2022, 9, 4).timestamp()


@pytest.mark.parametrize("name", BREVO)
def test_brevos_events_say_what_happened(name: str) -> None:
    body = recorded(f"webhooks/brevo/{name}").read_bytes()

    event, *more = read("brevo", body, api_key="x", webhook_token=TOKEN)

    # It was blocked because the person had unsubscribed there.
    assert [each.kind for each in more] == (["unsubscribed"] if name == "blocked.json" else [])
    assert (event.kind, event.bounce_class) == BREVO[name]
    assert event.is_machine == (name == "proxy_open.json")
    assert "<" not in event.provider_id
    assert event.provider_id
    assert datetime(2018, 1, 1).timestamp() < event.at / SECOND < datetime(2024, 1, 1).timestamp()


@pytest.mark.parametrize("name", MAILGUN)
def test_mailguns_events_say_what_happened(name: str) -> None:
    body = recorded(f"webhooks/mailgun/{name}").read_bytes()
    signed_at = int(json.loads(body)["signature"]["timestamp"]) * SECOND

    [event] = read("mailgun", body, {}, now=signed_at, api_key="x", webhook_key=MAILGUN_KEY)

    assert (event.kind, event.bounce_class) == MAILGUN[name]
    assert event.recipient == "alice@example.com"


@pytest.mark.parametrize("name", ["batch.json", "webhook.json"])
def test_sendgrids_batches_are_read_whole(name: str) -> None:
    # Recorded without their signatures, so that they are signed with a key of ours.
    signed = email_sendgrid.signed(recorded(f"webhooks/sendgrid/{name}").read_bytes())

    events = read(
        "sendgrid",
        signed.body,
        dict(signed.headers),
        api_key="x",
        webhook_key=email_sendgrid.PUBLIC,
    )

    assert [event.kind for event in events] == ["rejected", "clicked"][: len(events)]
    assert len(events) == (2 if name == "batch.json" else 1)
    assert {event.provider_id for event in events} == {"LRzXl_NHStOGhQ4kofSm_A"}
    assert {event.at for event in events} == {1_600_112_492 * SECOND}


def test_resends_events_say_what_happened() -> None:
    signed = email_resend.signed(recorded("webhooks/resend/sent.json").read_bytes())

    [event] = read(
        "resend",
        signed.body,
        dict(signed.headers),
        api_key="x",
        webhook_secret=email_resend.SECRET,
    )

    assert (event.kind, event.message) == ("sent", None)
    assert event.provider_id == "172c41ce-ba6d-4281-8a7a-541faa725748"
    assert event.recipient == "test@example.com"


def test_sendgrids_signatures_are_believed_or_refused_as_its_vectors_say() -> None:
    n_played = 0
    for case in vectors("sendgrid_event_webhook"):
        headers = {name.lower(): value for name, value in case["headers"].items()}
        seconds = headers.get("x-twilio-email-event-webhook-timestamp", "")
        now = int(seconds) * SECOND if seconds.isdigit() else NOW
        is_believed = True
        try:
            read(
                "sendgrid",
                case["body"].encode(),
                headers,
                now=now,
                api_key="x",
                webhook_key=case["public_key"],
            )
        except Forged:
            is_believed = False
        assert is_believed == case["expected"], case["name"]
        n_played += 1
    assert n_played == 7


def test_mailguns_signatures_are_believed_or_refused_as_its_vectors_say() -> None:
    n_played = 0
    for case in vectors("mailgun"):
        if not case["headers"]["Content-Type"].endswith("json"):
            continue  # inbound mail, which we do not take
        now = int(case["timestamp"]) * SECOND
        read("mailgun", case["body"].encode(), {}, now=now, api_key="x", webhook_key=case["secret"])
        with pytest.raises(Forged):
            read("mailgun", case["body"].encode(), {}, now=now, api_key="x", webhook_key="other")
        n_played += 1
    assert n_played == 11
