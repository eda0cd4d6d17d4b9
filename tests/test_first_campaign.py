"""A stranger's first campaign: the README's commands, a public SDK, real processes, real mail."""

import email
import email.message
import json
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from segment.analytics.client import Client

from tests.engine.serving import Served, command

SECONDS_MAX = 20.0


class Mailbox:
    """What a real SMTP server took in."""

    def __init__(self) -> None:
        self.letters: list[email.message.Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.letters.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}?starttls=never"
    controller.stop()


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def ask(url: str, data: bytes | None = None) -> str:
    request = urllib.request.Request(url, data=data)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def consents(shop: Path, environ: dict[str, str]) -> list[str]:
    """What u1 agreed to and withdrew, newest first, as `antiphon profile show` tells it."""
    shown = command("profile", "show", "u1", shop, "--json", environ=environ)
    timeline = json.loads(shown.stdout)["timeline"]
    return [it["title"] for it in timeline if it["kind"] == "consent"]


def test_a_stranger_gets_mail_out_of_yaml_and_a_segment_sdk(
    tmp_path: Path, mailbox: tuple[Mailbox, str]
) -> None:
    box, smtp_url = mailbox
    shop = tmp_path / "shop"
    environ = {"SMTP_URL": smtp_url}

    # The commands of the README, in its order.
    for words in (("init", shop), ("check", shop), ("test", shop), ("apply", shop)):
        done = command(*words, environ=environ)
        assert done.returncode == 0, done.stderr
    key = command("keys", "create", shop).stdout.strip()
    served = Served(shop, environ=environ)

    # They change two lines while it runs, see the plan, apply it.
    campaign, settings = shop / "campaigns/cart_reminder.yaml", shop / "antiphon.yaml"
    campaign.write_text(campaign.read_text().replace("delay: 30m", "delay: 1s"))
    settings.write_text(
        re.sub(
            r"(?m)^  email: \{provider: sandbox,",
            '  email: {provider: smtp, url: "${env:SMTP_URL}",',
            settings.read_text(),
        )
    )
    plan = command("plan", shop, environ=environ)
    assert plan.returncode == 1
    assert '~ campaign "cart-reminder"' in plan.stdout
    assert "2 to change" in plan.stdout
    assert command("apply", shop, environ=environ).returncode == 0

    # They point the public Segment client at it: host and key, nothing else.
    client = Client(key, host=served.url, sync_mode=True, max_retries=2)
    traits = {
        "email": "uma@example.com",
        "first_name": "Uma",
        "consent": {"email": {"offers": True}},
    }
    client.identify("u1", traits)
    client.track("u1", "Product Added", {"cart_id": "c1"})
    (letter,) = eventually(lambda: list(box.letters))

    assert letter["To"] == "uma@example.com"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.search(r"<(http://[^>]+/u/[^>]+)>", letter["List-Unsubscribe"])
    assert link is not None

    # GET asks, POST acts, and what would have come next is dropped with a reason.
    assert "<form" in ask(link[1])
    agreed = consents(shop, environ)
    assert len(agreed) == 1, "a GET changes nothing"
    ask(link[1], b"List-Unsubscribe=One-Click")
    assert consents(shop, environ)[1:] == agreed
    client.track("u1", "Product Added", {"cart_id": "c2"})

    def dropped() -> list[dict[str, Any]]:
        found = command("messages", shop, "--status", "dropped", "--json", environ=environ)
        messages: list[dict[str, Any]] = json.loads(found.stdout)["messages"]
        return messages

    (message,) = eventually(dropped)
    assert message["reason"] == "unsubscribed from offers by email"
    story = command("explain", message["id"], shop, environ=environ)
    assert "unsubscribed from offers by email" in story.stdout
    assert len(box.letters) == 1
    assert served.terminate() == 0
