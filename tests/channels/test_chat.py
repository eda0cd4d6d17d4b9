"""Rooms of a chat: each in its own shape, and none called by a customer's name."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from channels import open_provider
from channels.base import Accepted, Ambiguous, OutMessage, Receipt, RefusedBy
from channels.calls import Answer, Call
from channels.chat.http import CHARS_MAX, Chat
from channels.http_provider import HttpProvider
from engine.core.errors import UsageError
from tests.channels.vendor_cases import NOW

URL = "https://chat.example/hooks/a-secret-of-tests"


def room(shape: str, url: str = URL) -> Chat:
    provider = open_provider(
        "push",
        "chat",
        {"url": url, "shape": shape},
        directory=Path("nowhere"),
        rng=random.Random(7),
        now=lambda: NOW,
    )
    assert isinstance(provider, HttpProvider)
    assert isinstance(provider.vendor, Chat)
    return provider.vendor


def said(shape: str, **data: Any) -> Any:
    told = {"title": "Refund *of* A&B", "body": "<!channel> @here @all", **data}
    found = room(shape).call(OutMessage(7, "push", "", data=told), now=NOW)
    assert isinstance(found, Call)
    assert found.url == URL
    return json.loads(found.body)


def test_slack_calls_nobody_by_what_a_customer_wrote() -> None:
    # https://docs.slack.dev/messaging/formatting-message-text/#escaping
    assert said("slack", url="https://x.example/?a=1&b=2") == {
        "text": "*Refund ∗of∗ A&amp;B*\n&lt;!channel&gt; @here @all\nhttps://x.example/?a=1&amp;b=2",
        "unfurl_links": False,
    }


def test_mattermost_calls_nobody_either() -> None:
    text = said("mattermost")["text"]

    assert text.startswith("**Refund ∗of∗ A&B**\n")
    assert "@here" not in text
    assert "@all" not in text


def test_discord_is_told_that_nobody_is_mentioned() -> None:
    found = said("discord")

    assert set(found) == {"content", "allowed_mentions"}
    assert found["allowed_mentions"] == {"parse": []}


def test_teams_gets_a_card_with_a_button_for_the_link() -> None:
    # https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook
    found = said("teams", url="https://x.example/a")

    card = found["attachments"][0]["content"]
    assert (found["type"], card["type"]) == ("message", "AdaptiveCard")
    assert [each["text"] for each in card["body"]] == ["Refund *of* A&B", "<!channel> @here @all"]
    assert card["actions"][0]["url"] == "https://x.example/a"


@pytest.mark.parametrize(
    ("shape", "answer", "expected"),
    [
        ("slack", Answer(200, body=b"ok"), Accepted("http 200")),
        ("slack", Answer(200, body=b'{"success":true}'), Accepted("http 200")),
        ("mattermost", Answer(200, body=b"ok"), Accepted("http 200")),
        ("discord", Answer(204), Accepted("http 204")),
        ("discord", Answer(200, body=b'{"id":"99"}'), Accepted("99")),
        ("teams", Answer(202), Accepted("http 202")),
        ("teams", Answer(200, body=b"1"), Accepted("http 200")),
    ],
)
def test_each_takes_a_message_in_words_of_its_own(
    shape: str, answer: Answer, expected: Receipt
) -> None:
    assert room(shape).receipt(answer, now=NOW) == expected


@pytest.mark.parametrize("shape", sorted(CHARS_MAX))
def test_a_page_is_no_room_and_a_gone_room_rests_the_channel(shape: str) -> None:
    page = room(shape).receipt(Answer(200, body=b"<!doctype html>Sign in"), now=NOW)
    gone = room(shape).receipt(Answer(404, body=b"a-secret-of-tests"), now=NOW)

    assert isinstance(page, Ambiguous)
    assert gone == RefusedBy("config", "http 404", "")


@pytest.mark.parametrize("shape", sorted(CHARS_MAX))
def test_what_is_too_long_for_a_room_is_not_sent(shape: str) -> None:
    data = {"title": "T", "body": "x" * CHARS_MAX[shape]}

    receipt = room(shape).call(OutMessage(7, "push", "", data=data), now=NOW)

    assert isinstance(receipt, RefusedBy)
    assert (receipt.scope, receipt.code) == ("message", "too_long")


def test_an_url_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as refusal:
        room("slack", url="hooks.example/a-secret-of-tests")

    assert "a-secret" not in str(refusal.value)
