"""plan, apply, releases, rollback and campaign as they are typed, with and without a server."""

from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import MINUTE
from engine.steady import present
from tests.engine.commanding import Antiphon, events_file
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop

_ = _no_database

CAMPAIGN = "campaigns/cart_reminder.yaml"


def edited(folder: Path, old: str, new: str) -> Path:
    file = folder / CAMPAIGN
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return folder


@pytest.fixture
def inside(live: Path, antiphon: Antiphon) -> Path:
    """One person stands at the first step."""
    assert antiphon("ingest", live, events_file(live), "--live").code == 0
    assert antiphon("tick", live).code == 0
    return live


def test_plan_shows_an_id_and_apply_takes_no_other(live: Path, antiphon: Antiphon) -> None:
    edited(live, "delay: 30m", "delay: 2h")
    shown = antiphon("plan", live)
    id = shown.out.strip().rsplit(" ", 1)[1]

    edited(live, "delay: 2h", "delay: 3h")
    other = antiphon("apply", live, "--plan", id)
    edited(live, "delay: 3h", "delay: 2h")
    same = antiphon("apply", live, "--plan", id)

    assert shown.code == 1
    assert shown.out.splitlines()[-1] == f"To apply exactly this: antiphon apply --plan {id}"
    assert other.code == 2
    assert "the files have changed since the plan was made. Nothing was applied" in other.error
    assert (same.code, same.out.splitlines()[-1]) == (0, "Release 2 is live.")


def test_a_plan_that_strands_people_says_so_and_apply_refuses(
    inside: Path, antiphon: Antiphon
) -> None:
    edited(inside, "id: settle", "id: calm")

    shown, data = antiphon("plan", inside), antiphon("plan", inside, "--json").json()
    refused = antiphon("apply", inside)

    assert (shown.code, refused.code) == (1, 2)
    assert '1 person stands at the step "settle"' in shown.error
    assert shown.error.endswith("This plan cannot be applied.\n")
    assert f"{CAMPAIGN}:" in refused.error
    assert data["inside"] == {"cart-reminder": 1}
    assert [it["fate"] for it in data["steps"]] == ["stranded"]
    assert data["refused"][0]["found"] == "settle"
    assert antiphon("releases", inside, "--json").json()["releases"][0]["number"] == 1


def test_releases_are_listed_newest_first_and_the_last_can_be_taken_back(
    live: Path, antiphon: Antiphon
) -> None:
    edited(live, "delay: 30m", "delay: 2h")
    antiphon("apply", live)

    would = antiphon("rollback", live, "--dry-run")
    back = antiphon("rollback", live)
    listed = antiphon("releases", live)
    data = antiphon("releases", live, "--json").json()["releases"]
    again = antiphon("rollback", live, "--to", "1")

    assert (would.code, back.code, again.code) == (1, 0, 0)
    assert would.out.startswith("Back to release 1:\n")
    assert "It plays the files of release 1 again." in back.out
    assert antiphon("plan", live).code == 1, "the folder still holds the newer files"
    assert listed.out.splitlines()[0].startswith("*    3  20")
    assert [(it["number"], it["kind"]) for it in data] == [
        (3, "rollback"), (2, "apply"), (1, "apply"),
    ]  # fmt: skip
    assert data[1]["summary"] == ['~ campaign "cart-reminder"']
    assert again.out == "Nothing to do: release 1 held the files that are live.\n"


def test_a_campaign_is_paused_resumed_drained_and_emptied(inside: Path, antiphon: Antiphon) -> None:
    at = ("--dir", inside)

    paused = antiphon("campaign", "pause", "cart-reminder", "--why", "no stock", *at)
    antiphon("tick", inside, "--until", iso(present() + 60 * MINUTE))
    held = antiphon("campaign", "list", *at)
    drift = antiphon("plan", inside)
    resumed = antiphon("campaign", "resume", "cart-reminder", *at)
    again = antiphon("campaign", "resume", "cart-reminder", *at)
    gone = antiphon("campaign", "unenrol", "cart-reminder", "--profile", "u1", *at)
    antiphon("tick", inside)
    data = antiphon("campaign", "list", "--json", *at).json()["campaigns"]

    assert paused.out == '"cart-reminder" is paused; 1 person inside, holding where they are.\n'
    assert "paused" in held.out.splitlines()[0]
    assert held.out.splitlines()[1].endswith(": no stock")
    assert drift.code == 0
    assert '! campaign "cart-reminder" is paused by an operator' in drift.out
    assert resumed.out == '"cart-reminder" is running again; 1 person inside, going on.\n'
    assert again.out == '"cart-reminder" is not held by an operator; 1 person inside.\n'
    assert gone.out == '"cart-reminder": 1 person will leave.\n'
    assert [(it["name"], it["state"], it["n_inside"]) for it in data] == [
        ("cart-reminder", "live", 0)
    ]


def test_orders_about_nobody_and_nothing_are_refused_in_one_line(
    shop: Path, antiphon: Antiphon
) -> None:
    early = antiphon("campaign", "pause", "cart-reminder", "--dir", shop)
    antiphon("apply", shop)
    wrong = antiphon("campaign", "drain", "cart-remindr", "--dir", shop)
    back = antiphon("rollback", shop)

    assert (early.code, wrong.code, back.code) == (2, 2, 2)
    assert "Run: antiphon apply" in early.error
    assert 'Did you mean "cart-reminder"?' in wrong.error
    assert "release 1 holds the first files; nothing is before them" in back.error
