"""Whole audiences at once: line for line what each would be given alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import DAY
from engine.flagging import batch
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments

BATCH = "/v1/assignments:batch"


@pytest.fixture
def flags(database_url: str, tmp_path: Path) -> Iterator[Flags]:
    with flags_of(database_url, tmp_path) as opened:
        yield opened


def lines(flags: Flags, experiment: str, **about: Any) -> tuple[list[Any], Any]:
    """(a line for each unit, the summary)."""
    answer = flags.post(BATCH, {"experiment": experiment, **about})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *found, last = [json.loads(line) for line in answer.text.splitlines()]
    return found, last


HELD = with_experiments()["antiphon.yaml"] + (
    "layers: {top: {}}\nglobal_holdout: {share: 20%, period: 2026-H1}\n"
    "programmes: {web: {holdout: 20%}}\n"
)
LAYERED = "layer: {name: top, from: 10%, to: 90%}\ncoverage: 80%\nprogramme: web\n"


@pytest.mark.parametrize("unit", ["user", "anonymous", "profile", "traits.house"])
@pytest.mark.parametrize("more", [LAYERED, LAYERED + "forced: {u3: green}\n"])
def test_a_line_says_what_the_unit_is_given_alone(flags: Flags, unit: str, more: str) -> None:
    """Some exposed in an earlier phase, some in this one, some known, some never heard of."""
    first = an_experiment(unit=unit, values="{control: {weight: 2, value: a}, green: {value: b}}")
    flags.house.apply(with_experiments(first, settings=HELD))
    for number in range(60):
        flags.house.send({
            "type": "identify", "userId": f"u{number}", "anonymousId": f"d{number}",
            "traits": {"house": f"h{number}"},
        })  # fmt: skip
    flags.house.settle()
    who = {"anonymous": "d", "traits.house": "h"}.get(unit, "u")
    for step in range(2):
        for number in range(20 * step, 20 * step + 20):
            ids = {"userId": f"u{number}", "anonymousId": f"d{number}"}
            variant = flags.variant("button", **ids)
            if variant:
                flags.saw("button", variant, **ids)
        flags.house.now += DAY
        flags.house.apply(with_experiments(an_experiment(unit=unit, more=more), settings=HELD))
    units = [f"{who}{number}" for number in range(90)]

    found, summary = lines(flags, "button", units=units)

    alone, whys = [], []
    for number, id in enumerate(units):
        given = {"anonymous": "anonymousId", "traits.house": "house"}.get(unit, "userId")
        context = {given: id}
        if number < 60 and unit == "traits.house":
            # A value of a trait is nobody's profile: what is asked is the account alone.
            context["anonymousId"] = f"stranger-{number}"
        answer = flags.flag("button", **context)
        alone.append(answer["variant"] or None)
        whys.append(answer["metadata"].get("why"))
    assert [it["id"] for it in found] == units
    outside = [it["reason"] for it in found if it["variant"] is None]
    assert outside == [why for why, variant in zip(whys, alone, strict=True) if variant is None]
    assert [it["variant"] for it in found] == alone
    assert summary["n"] == 90
    assert summary["outside"] == alone.count(None)
    assert summary["variants"] == {
        name: alone.count(name) for name in ("control", "green") if name in alone
    }
    assert {it["reason"] for it in found} >= {"drawn", "exposed before"}


@pytest.mark.parametrize(
    "more",
    [
        "requires: [{experiment: gate, variant: green}]\n",
        "audience: {segment: buyers}\n",
        "allocation: {bandit: {algorithm: thompson, explore: 20%}}\ncoverage: 90%\n",
        "hash: s256\nsticky: false\n",
        "imported: true\nhash: 1\nseed: theirs\nnamespace: {name: all, from: 0%, to: 50%}\n",
        "state: stopped\nwinner: green\n",
        "state: draft\n",
    ],
)
def test_what_asks_more_than_hashes_is_decided_one_by_one(flags: Flags, more: str) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(unit="user", more=more),
            an_experiment("gate", unit="user"),
            segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n",
        )
    )
    learnt = '{"control": 1, "green": 9}'
    if "bandit" in more:
        flags.house.process.write(
            lambda connection: connection.execute(
                "INSERT INTO bandit_weights (experiment, phase, version, since, weights, trained) "
                "VALUES ('button', 1, 1, ?, ?, '{}')",
                (flags.house.now, learnt),
            )
        )
        flags.house.reload()
    for number in range(30):
        flags.house.send({"type": "identify", "userId": f"u{number}"})
        if number % 2:
            flags.house.track(f"u{number}", "Order Completed")
    flags.house.settle()
    units = [f"u{number}" for number in range(40)]

    found, _ = lines(flags, "button", units=units)

    alone = [flags.flag("button", targetingKey=unit) for unit in units]
    assert [it["variant"] for it in found] == [it["variant"] or None for it in alone]
    if "bandit" in more:
        assert {it["metadata"].get("allocation", 0) for it in alone} == {0, 1}
        assert {it["metadata"].get("probability") for it in alone} == {None, 0.1, 0.5, 0.9}
        told = {it["id"]: it["probability"] for it in found}
        assert all(
            told[unit] == it["metadata"].get("probability", 0.0)
            for unit, it in zip(units, alone, strict=True)
        )


def test_everyone_of_a_segment_is_assigned_page_by_page(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PAGE_UNITS", 7)
    flags.house.apply(
        with_experiments(
            an_experiment(unit="user"),
            an_experiment("mail", unit="profile"),
            an_experiment("house", unit="traits.house"),
            segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n",
            segments__lately="segment: lately\nwhen: {event: Order Completed, within: 30d}\n",
        )
    )
    for number in range(25):
        traits = {"house": f"h{number % 5}"} if number % 2 else {}
        flags.house.send({"type": "identify", "userId": f"u{number}", "traits": traits})
        if number < 20:
            flags.house.track(f"u{number}", "Order Completed")
    flags.house.settle()

    for segment in ("buyers", "lately"):
        for name in ("button", "mail", "house"):
            found, summary = lines(flags, name, segment=segment)

            assert sorted(it["id"] for it in found) == sorted(f"u{n}" for n in range(20))
            assert summary["n"] == 20
            for it in found:
                alone = flags.flag(name, userId=it["id"])
                assert it["variant"] == (alone["variant"] or None), (segment, name, it)
    homeless = [it for it in found if int(it["id"][1:]) % 2 == 0]
    assert {it["reason"] for it in homeless} == {"no traits.house"}


def test_being_listed_is_no_exposure(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    lines(flags, "button", units=["v1", "v2"])
    flags.house.settle()

    assert flags.exposures() == []
    assert flags.house.rows("SELECT count(*) FROM profile")[0][0] == 0


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 404, "experiment"),
        ({"experiment": "nothing", "units": []}, 404, "experiment"),
        ({"experiment": "button"}, 400, "units"),
        ({"experiment": "button", "units": [], "segment": "x"}, 400, "units"),
        ({"experiment": "button", "units": "u1"}, 400, "units"),
        ({"experiment": "button", "units": ["u1", None]}, 400, "units.1"),
        ({"experiment": "button", "units": ["u1", {}]}, 400, "units.1"),
        ({"experiment": "button", "units": ["u"] * 100_001}, 413, "units"),
        ({"experiment": "button", "segment": "nothing"}, 404, "segment"),
        ({"experiment": "button", "segment": "buyers"}, 400, "segment"),
    ],
)
def test_what_cannot_be_assigned_is_refused_before_the_first_line(
    flags: Flags, body: Any, status: int, field: str
) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(), segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n"
        )
    )

    answer = flags.post(BATCH, body)

    assert answer.status_code == status, answer.text
    assert answer.json()["field"] == field


def test_a_browser_key_assigns_no_audience(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    answer = flags.post(BATCH, {"experiment": "button", "units": ["v1"]}, key=flags.app.browser_key)

    assert answer.status_code == 403
