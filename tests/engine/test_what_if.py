"""`antiphon simulate`, asked what other caps, other quiet hours or another workspace would do."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.commanding import Antiphon, antiphon  # noqa: F401

N_CARTS = 5
QUIET = 'quiet_hours: {from: "21:00", to: "09:00"}\n'


@pytest.fixture
def shop(tmp_path: Path, antiphon: Antiphon) -> Path:  # noqa: F811
    """The starter with quiet hours: at most three e-mails in seven days."""
    folder = tmp_path / "shop"
    antiphon("init", folder)
    settings = folder / "antiphon.yaml"
    settings.write_text(settings.read_text() + QUIET)
    return folder


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Someone who agreed, and leaves five carts on five days, the first one in the night."""
    calls: list[dict[str, Any]] = [
        {"type": "identify", "userId": "ann", "timestamp": "2026-03-02T08:00:00Z",
         "traits": {"email": "ann@example.com", "consent": {"email": {"offers": True}}}}
    ]  # fmt: skip
    for day in range(N_CARTS):
        hour = 12 if day else 22
        calls.append(
            {"type": "track", "userId": "ann", "event": "Product Added",
             "timestamp": f"2026-03-0{2 + day}T{hour}:00:00Z", "properties": {"cart_id": f"c{day}"}}
        )  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(json.dumps(call) for call in calls))
    return path


def test_without_caps_nothing_waits_for_one_and_the_difference_says_so(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    events: Path,
) -> None:
    said = antiphon("simulate", shop, "--events", events, "--caps", "none", "--json").json()

    cap = "cap: 3 emails in 7 days"
    assert said["before"]["held"][cap] > 0
    assert cap not in said["after"]["held"]
    assert said["change"]["held"][cap] == -said["before"]["held"][cap]
    assert said["before"]["sends"] == said["after"]["sends"] == N_CARTS, "later is not never"


def test_a_cap_for_a_topic_holds_what_no_cap_held(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    events: Path,
) -> None:
    said = antiphon(
        "simulate", shop, "--events", events, "--caps", "email 3/7d, offers 1/2d", "--json"
    ).json()

    assert said["change"]["held"]["cap: 1 message about offers in 2 days"] > 0


def test_other_quiet_hours_move_the_message_of_the_night(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    events: Path,
) -> None:
    said = antiphon(
        "simulate", shop, "--events", events, "--quiet-hours", "23:00-06:00", "--json"
    ).json()

    assert said["change"]["by_day"]["2026-03-02"]["sends"] == 1
    assert said["change"]["held"]["quiet hours"] == -1


def test_two_workspaces_are_compared_step_by_step(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    events: Path,
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    antiphon("init", other)
    campaign = other / "campaigns" / "cart_reminder.yaml"
    campaign.write_text(campaign.read_text().replace("id: remind", "id: nudge"))

    said = antiphon("simulate", other, "--events", events, "--against", shop)

    assert said.code == 0
    shown = {line.split()[0]: line.split()[-3:] for line in said.out.splitlines() if "/" in line}
    assert shown["cart-reminder/remind"] == ["5", "0", "-5"]
    assert shown["cart-reminder/nudge"] == ["0", "5", "+5"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--caps", "email three a week"), "email three a week"),
        (("--caps", "fax 1/1d"), '"fax" is neither a channel nor a topic. Allowed: email, offers'),
        (("--caps", "email 1/1x"), "1x"),
        (("--quiet-hours", "night"), "22:00-08:00"),
        (("--quiet-hours", "25:00-08:00"), "25:00"),
        (("--against", ".", "--caps", "none"), "leave out --caps"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_can(
    antiphon: Antiphon,  # noqa: F811
    shop: Path,
    events: Path,
    words: tuple[str, ...],
    found: str,
) -> None:
    said = antiphon("simulate", shop, "--events", events, *words)

    assert said.code == 2
    assert found in said.error
