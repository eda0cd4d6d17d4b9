"""Exposures over HTTP: once for each experiment, phase and unit, whoever says so and how often."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import DAY
from engine.store.exposures import misreports
from experiments.assignment import assign
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments


@pytest.fixture
def flags(database_url: str, tmp_path: Path) -> Iterator[Flags]:
    with flags_of(database_url, tmp_path) as opened:
        yield opened


def planned(unit: str, seed: str = "button") -> str:
    found = assign(unit, seed=seed, variants=("control", "green"), weights=(1, 1)).variant
    assert found is not None
    return found


def test_an_exposure_is_one_event_and_one_row_however_often_it_is_said(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    answers = [flags.saw("button", planned("v1"), anonymousId="v1") for _ in range(3)]
    other = flags.saw("button", "green" if planned("v1") == "control" else "control",
                      anonymousId="v1")  # fmt: skip

    assert [it.json()["status"] for it in answers] == ["accepted", "duplicate", "duplicate"]
    assert other.json()["status"] == "duplicate", "the first one wins"
    assert flags.exposures() == [(1, "v1", planned("v1"), "")]
    ((n,),) = flags.house.rows("SELECT count(*) FROM event WHERE name = 'Experiment Viewed'")
    assert n == 1


def test_a_batch_is_answered_item_by_item_and_one_wrong_item_harms_no_other(
    flags: Flags,
) -> None:
    flags.house.apply(
        with_experiments(an_experiment(), an_experiment("next", more="state: draft\n"))
    )
    items: list[Any] = [
        {"experiment": "button", "variant": planned("v1"), "anonymousId": "v1"},
        {"experiment": "nothing", "variant": "green", "anonymousId": "v1"},
        {"experiment": "button", "variant": "purple", "anonymousId": "v1"},
        {"experiment": "button", "variant": "green", "userId": "ann"},
        {"experiment": "next", "variant": "green", "anonymousId": "v1"},
        {"experiment": "button", "variant": "green", "anonymousId": "v1", "phase": 4},
        {"experiment": "button", "variant": planned("v2"), "anonymousId": "v2", "phase": 1},
        "no object",
    ]

    answer = flags.post("/v1/exposures", {"exposures": items})
    flags.house.settle()

    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [it["status"] for it in results] == [
        "accepted", *["rejected"] * 5, "accepted", "rejected",
    ]  # fmt: skip
    assert [it.get("field") for it in results[1:6]] == [
        "experiment", "variant", "anonymousId", "experiment", "phase",
    ]  # fmt: skip
    assert [row[1] for row in flags.exposures()] == ["v1", "v2"]
    with flags.house.process.database.read() as connection:
        assert misreports(connection) == {}, "what cannot be is stopped at the door"


def test_a_report_that_came_too_early_does_not_stand_in_the_way_of_a_right_one(
    flags: Flags,
) -> None:
    flags.house.apply(with_experiments(an_experiment(more="state: draft\n")))
    early = flags.saw("button", planned("v1"), anonymousId="v1")
    flags.house.apply(with_experiments(an_experiment()))

    late = flags.saw("button", planned("v1"), anonymousId="v1")

    assert (early.status_code, early.json()["field"]) == (400, "experiment")
    assert late.json()["status"] == "accepted"
    assert flags.exposures() == [(1, "v1", planned("v1"), "")]


def test_a_new_phase_is_another_exposure_of_those_never_seen(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    flags.saw("button", planned("v1"), anonymousId="v1")
    flags.house.now += DAY
    heavier = "{control: {weight: 3, value: blue}, green: {value: green}}"
    flags.house.apply(with_experiments(an_experiment(values=heavier)))
    fresh = flags.variant("button", targetingKey="v2")

    again = flags.saw("button", flags.variant("button", targetingKey="v1"), anonymousId="v1")
    flags.saw("button", fresh, anonymousId="v2")

    assert again.json()["status"] == "accepted"
    assert flags.exposures() == [(1, "v1", planned("v1"), ""), (2, "v2", fresh, "")]


def test_a_person_of_an_account_reports_for_the_account(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment(unit="traits.house")))
    early = flags.saw("button", planned("h1"), userId="ann")
    flags.house.send({"type": "identify", "userId": "ann", "traits": {"house": "h1"}})
    flags.house.settle()
    flags.house.now += DAY

    late = flags.saw("button", planned("h1"), userId="ann")

    assert (early.json()["status"], late.json()["status"]) == ("accepted", "accepted")
    assert flags.exposures() == [(1, "h1", planned("h1"), "")]


def test_a_browser_key_may_report_but_not_use_up_what_a_server_says(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    report = {"experiment": "button", "variant": planned("v1"), "anonymousId": "v1"}

    statuses = [
        flags.post("/v1/exposures", report, key=key).json()["status"]
        for key in (flags.app.browser_key, flags.app.server_key)
    ]
    flags.house.settle()

    assert statuses == ["accepted", "accepted"]
    assert flags.exposures() == [(1, "v1", planned("v1"), "")]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"exposures": {}}', b'{"exposures": "x"}', b"{", b'{"experiment": NaN}'],
)
def test_what_is_no_exposure_is_400(flags: Flags, body: bytes) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    headers = {"Authorization": f"Bearer {flags.app.server_key}"}

    answer = flags.app.client.post("/v1/exposures", content=body, headers=headers)

    assert answer.status_code == 400
    assert len(answer.json()["detail"]) > 20


def test_too_many_at_once_are_refused(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    answer = flags.post("/v1/exposures", {"exposures": [{}] * 2_501})

    assert answer.status_code == 400
    assert answer.json()["field"] == "exposures"
