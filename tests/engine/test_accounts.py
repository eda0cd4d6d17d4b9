"""Two accounts of one kind of channel, each with its own settings and provider."""

from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import HOUR
from engine.steady import present
from tests.engine.commanding import EVENTS, Antiphon
from tests.engine.commanding import antiphon as antiphon


@pytest.fixture
def shop(tmp_path: Path, antiphon: Antiphon) -> Path:
    """The starter, whose campaign writes by an account with a name of its own."""
    folder = tmp_path / "shop"
    assert antiphon("init", folder).code == 0
    settings = folder / "antiphon.yaml"
    text = settings.read_text()
    settings.write_text(
        text.replace(
            "\ncaps:", "\n  newsletter: {kind: email, from: News <news@my-shop.example>}\ncaps:"
        )
    )
    for file in (
        folder / "campaigns" / "cart_reminder.yaml",
        folder / "tests" / "cart_reminder.yaml",
    ):
        file.write_text(
            file.read_text().replace("channel: email, template", "channel: newsletter, template")
        )
    return folder


def test_a_message_of_a_named_account_reaches_the_address_of_its_kind(
    shop: Path,
    antiphon: Antiphon,
) -> None:
    events = shop / "events.jsonl"
    events.write_text("\n".join(EVENTS))
    assert antiphon("check", shop).code == 0
    assert antiphon("apply", shop).code == 0
    assert antiphon("ingest", shop, events, "--live").code == 0

    assert antiphon("tick", shop, "--until", iso(present() + HOUR)).code == 0

    (message,) = antiphon("messages", shop, "--json").json()["messages"]
    assert (message["status"], message["channel"]) == ("sent", "email")
    (mail,) = (shop / ".antiphon" / "outbox").rglob("*.eml")
    assert "To: u1@example.com" in mail.read_text()
    assert "news@my-shop.example" in mail.read_text()


def test_the_workspaces_own_tests_name_the_account(shop: Path, antiphon: Antiphon) -> None:
    said = antiphon("test", shop, "--json")

    assert said.code == 0, said
    assert said.json()["failed"] == 0
