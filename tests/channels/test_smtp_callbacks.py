"""Mail that comes back, handed on by a mail server: believed about the message it is signed for."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from channels import open_provider
from channels.callbacks import Callback
from channels.delivery import DeliveryEvent
from channels.email.verp import PATHS_MAX, messages_in_mail, return_path
from engine.core.errors import Forged, Unreadable
from tests.channels.test_returned_mail import NOW, a_bounce

DOMAIN, SECRET, TOKEN = "bounce.shop.example", "test-secret", "test-token"
SETTINGS = {
    "url": "smtp://127.0.0.1:1?starttls=never", "bounce_domain": DOMAIN, "bounce_secret": SECRET,
    "webhook_token": TOKEN,
}  # fmt: skip


def told(body: bytes, *, token: str = TOKEN, **changes: Any) -> list[DeliveryEvent]:
    provider = open_provider(
        "email", "smtp", {**SETTINGS, **changes}, directory=Path(),
        rng=random.Random(1), now=lambda: NOW,
    )  # fmt: skip
    callback = Callback("https://us.example/webhooks/email", {"x-webhook-token": token}, body)
    return list(asyncio.run(provider.read_callback(callback)).events)


def a_bounce_to(*messages: int, secret: str = SECRET) -> bytes:
    paths = [return_path(it, domain=DOMAIN, secret=secret) for it in messages]
    return a_bounce().replace(b"bounce+7=abc@bounce.shop.example", ", ".join(paths).encode())


def test_a_bounce_is_about_the_message_whose_return_path_it_came_to() -> None:
    (event,) = told(a_bounce_to(7))

    assert (event.kind, event.message, event.bounce_class) == ("bounced", 7, "hard")


def test_a_bounce_that_names_a_message_without_its_signature_is_about_nobody() -> None:
    (unsigned,) = told(a_bounce())
    (forged,) = told(a_bounce_to(7, secret="another"))

    assert unsigned.message is None
    assert forged.message is None


def test_a_mail_about_two_messages_is_about_neither() -> None:
    (event,) = told(a_bounce_to(7, 8))

    assert event.message is None


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + " "])
def test_who_has_not_the_token_hands_nothing_on(token: str) -> None:
    with pytest.raises(Forged, match="webhook_token"):
        told(a_bounce_to(7), token=token)


def test_a_channel_without_a_token_takes_no_mail() -> None:
    with pytest.raises(Forged, match="set webhook_token"):
        told(a_bounce_to(7), token="", webhook_token="")


def test_what_is_no_mail_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="no mail"):
        told(b"")


def test_a_mail_of_endless_return_paths_is_read_no_further_than_honest_ones_go() -> None:
    paths = (return_path(it, domain=DOMAIN, secret=SECRET) for it in range(1, 5_000))
    raw = "\n".join(paths).encode()

    found = messages_in_mail(raw, domain=DOMAIN, secrets=[SECRET])

    assert found == list(range(1, PATHS_MAX + 1))
