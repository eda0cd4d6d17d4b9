"""`antiphon segment preview` as a marketer meets it: how many, since when, who and why."""

import json
from pathlib import Path
from zlib import crc32

import pytest

from engine.core.clocktime import iso, parse_instant
from engine.core.model.instants import DAY
from engine.segment_preview import sparkline
from tests.engine.commanding import Antiphon
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop

_ = _no_database

NOON = "2026-03-10T12:00:00Z"


def a_call(kind: str, user: str, at: str, **more: object) -> str:
    """One line of an events file; the message id follows from what it says."""
    said = {"type": kind, "userId": user, "timestamp": at, **more}
    return json.dumps({**said, "messageId": f"{crc32(json.dumps(said).encode())}"})


def track(user: str, event: str, at: str, **properties: object) -> str:
    return a_call("track", user, at, event=event, properties=properties)


def write(folder: Path, name: str, when: str) -> None:
    (folder / "segments" / f"{name}.yaml").write_text(f"segment: {name}\nwhen: {when}\n")


def ingest(antiphon: Antiphon, folder: Path, *lines: str) -> None:
    file = folder / "events.jsonl"
    file.write_text("\n".join(lines) + "\n")
    said = antiphon("ingest", folder, file, "--json")
    assert said.code == 0, (said.out, said.error)


@pytest.fixture
def at_work(
    live: Path, antiphon: Antiphon, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The applied workspace on either database."""
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    settings = live / "antiphon.yaml"
    declared = "  timezone: {type: timezone}\n"
    more = "  plan: {type: string}\n  n: {type: number}\n"
    settings.write_text(settings.read_text().replace(declared, declared + more))
    assert antiphon("apply", live).code == 0
    return live


def test_a_segment_not_yet_applied_is_counted_over_days_and_explained(
    at_work: Path, antiphon: Antiphon
) -> None:
    write(at_work, "keen", "{event: Product Viewed, count: {gte: 2}, within: 3d}")
    ingest(
        antiphon,
        at_work,
        track("u1", "Product Viewed", "2026-03-05T09:00:00Z"),
        track("u1", "Product Viewed", "2026-03-06T09:00:00Z"),
        track("u2", "Product Viewed", "2026-03-09T09:00:00Z"),
        track("u2", "Product Viewed", "2026-03-09T10:00:00Z"),
        track("u3", "Product Added", "2026-03-01T10:00:00Z"),
    )

    said = antiphon(
        "segment", "preview", "keen", "--dir", at_work, "--at", NOON, "--days", "6", "--json"
    )

    found = said.json()
    # u1 has two views inside three days from the 6th at 09:00 until the 8th at 09:00.
    assert [each["size"] for each in found["trend"]] == [0, 1, 1, 0, 1, 1]
    assert found["trend"][0]["at"] == iso(parse_instant(NOON) - 5 * DAY)
    assert (found["segment"], found["size"], found["people"]) == ("keen", 1, 3)
    (member,) = found["members"]
    assert member["profile"] == "u2"
    (row,) = member["conditions"]
    assert (row["matches"], row["until"]) == (True, "2026-03-12T09:00:00Z")
    assert "Product Viewed" in row["condition"]


def test_the_words_for_people_show_size_bars_and_reasons(at_work: Path, antiphon: Antiphon) -> None:
    ingest(antiphon, at_work, track("u1", "Product Added", "2026-03-09T10:00:00Z"))

    said = antiphon("segment", "preview", "cart-started", "--dir", at_work, "--at", NOON)

    lines = said.out.splitlines()
    assert (said.code, said.error) == (0, "")
    assert lines[0] == f"cart-started: 1 of 1 people at {NOON}"
    assert lines[1].startswith("14 days  ▁▁▁▁▁▁▁▁▁▁▁▁██  from 0 to 1 (least 0, most 1)")
    assert lines[3] == "u1"
    assert lines[4].startswith("  yes Product Added at least once")


def test_nobody_counts_before_the_first_that_was_known_of_them(
    at_work: Path, antiphon: Antiphon
) -> None:
    write(at_work, "never-added", "{not: {event: Product Added, ever: true}}")
    ingest(
        antiphon,
        at_work,
        track("u1", "Product Viewed", "2026-03-07T10:00:00Z"),
        track("u2", "Product Viewed", "2026-03-09T10:00:00Z"),
        track("u2", "Product Added", "2026-03-10T11:00:00Z"),
    )

    said = antiphon(
        "segment", "preview", "never-added", "--dir", at_work, "--at", NOON, "--days", "5", "--json"
    )

    assert [each["size"] for each in said.json()["trend"]] == [0, 1, 1, 2, 1]


def test_a_trait_counts_from_when_it_was_told_played_or_not(
    at_work: Path, antiphon: Antiphon
) -> None:
    write(at_work, "gold", "{trait: {plan: gold}}")
    ingest(
        antiphon,
        at_work,
        a_call("identify", "u1", "2026-03-06T10:00:00Z", traits={"plan": "gold"}),
        a_call("identify", "u2", "2026-03-06T10:00:00Z", traits={"plan": "free"}),
    )
    assert antiphon("tick", at_work).code == 0
    ingest(
        antiphon,
        at_work,
        a_call("identify", "u1", "2026-03-08T10:00:00Z", traits={"plan": "free"}),
        a_call("identify", "u2", "2026-03-09T10:00:00Z", traits={"plan": "gold"}),
    )

    then = antiphon(
        "segment", "preview", "gold", "--dir", at_work, "--at", NOON, "--days", "6", "--json"
    ).json()
    now = antiphon("segment", "preview", "gold", "--dir", at_work, "--days", "1", "--json").json()

    assert [each["size"] for each in then["trend"]] == [0, 1, 1, 0, 1, 1]
    assert [each["profile"] for each in now["members"]] == ["u2"]
    assert now["members"][0]["conditions"][0]["matches"] is True


def test_a_protected_trait_is_found_by_its_mark(at_work: Path, antiphon: Antiphon) -> None:
    write(at_work, "me", "{trait: {email: {is: u1@example.com}}}")
    ingest(
        antiphon,
        at_work,
        a_call("identify", "u1", "2026-03-06T10:00:00Z", traits={"email": "u1@example.com"}),
        a_call("identify", "u2", "2026-03-06T10:00:00Z", traits={"email": "u2@example.com"}),
    )

    said = antiphon("segment", "preview", "me", "--dir", at_work, "--at", NOON, "--json")

    assert said.json()["size"] == 1
    assert [each["profile"] for each in said.json()["members"]] == ["u1"]
    assert "u1@example.com" not in said.out


def test_a_merged_profile_is_one_person_with_both_histories(
    at_work: Path, antiphon: Antiphon
) -> None:
    write(at_work, "twice", "{event: Product Viewed, count: {gte: 2}, ever: true}")
    anonymous = {"type": "track", "anonymousId": "a1", "event": "Product Viewed"}
    ingest(
        antiphon,
        at_work,
        json.dumps({**anonymous, "timestamp": "2026-03-06T10:00:00Z", "messageId": "m1"}),
        track("u1", "Product Viewed", "2026-03-06T11:00:00Z"),
        json.dumps({
            "type": "identify", "anonymousId": "a1", "userId": "u1", "messageId": "m2",
            "timestamp": "2026-03-06T12:00:00Z",
        }),
    )  # fmt: skip
    assert antiphon("tick", at_work).code == 0

    twice = antiphon("segment", "preview", "twice", "--dir", at_work, "--at", NOON, "--json").json()

    assert (twice["size"], twice["people"]) == (1, 1)
    assert [each["profile"] for each in twice["members"]] == ["u1"]


def test_the_preview_of_an_applied_segment_says_what_the_engine_holds(
    at_work: Path, antiphon: Antiphon
) -> None:
    write(
        at_work, "active", "{all: [{event: Product Viewed, within: 3000d}, {trait: {n: {lt: 3}}}]}"
    )
    lines = [track(f"u{n}", "Product Viewed", "2026-03-06T10:00:00Z") for n in range(1, 6)]
    lines += [
        a_call("identify", f"u{n}", "2026-03-06T11:00:00Z", traits={"n": n}) for n in range(1, 6)
    ]
    ingest(antiphon, at_work, *lines)
    assert antiphon("apply", at_work).code == 0
    assert antiphon("tick", at_work).code == 0

    members = antiphon("segment", "members", "active", "--dir", at_work, "--json").json()
    preview = antiphon("segment", "preview", "active", "--dir", at_work, "--json").json()

    assert members["members"] == ["u1", "u2"]
    assert preview["size"] == members["size"]
    assert [each["profile"] for each in preview["members"]] == members["members"]


@pytest.mark.parametrize("days", ["0", "401"])
def test_a_trend_of_too_few_or_too_many_days_is_refused(
    at_work: Path, antiphon: Antiphon, days: str
) -> None:
    said = antiphon("segment", "preview", "cart-started", "--dir", at_work, "--days", days)

    assert (said.code, said.out) == (2, "")
    assert "write a number from 1 to 400" in said.error


def test_a_flat_trend_is_a_flat_line() -> None:
    assert sparkline([3, 3, 3]) == "▁▁▁"
    assert sparkline([0]) == "▁"
