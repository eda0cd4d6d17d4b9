"""Exposures of served experiments on both databases: once a unit, in the batch's transaction."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.model.instants import DAY, HOUR
from engine.web.gauges import count
from experiments.assignment import assign
from tests.engine.publishing import FILES, SETTINGS, Published
from tests.engine.test_migrate import dying_at

BUTTON = """experiment: button
unit: {unit}
variants:
  control: {{value: blue}}
  green: {{value: green}}
metrics: {{primary: ordered}}
"""
METRIC = "metric: ordered\nevent: Order Completed\nwithin: 7d\n"
TRAITS = SETTINGS.replace("plan: {type: string}", "plan: {type: string}, house: {type: string}")


def with_button(unit: str = "anonymous", *edits: tuple[str, str]) -> dict[str, str]:
    text = BUTTON.format(unit=unit)
    for old, new in edits:
        text = text.replace(old, new)
    return {
        **FILES,
        "antiphon.yaml": TRAITS,
        "experiments/button.yaml": text,
        "metrics/ordered.yaml": METRIC,
    }


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    yield opened
    opened.close()


def saw(house: Published, variant: object, **about: Any) -> None:
    properties = {"experiment_id": "button", "variation_id": variant}
    call = {"type": "track", "event": "Experiment Viewed", "properties": properties, **about}
    house.send(call)


def exposures(house: Published) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for row in house.rows(
            "SELECT phase, unit, variant, allocation, source, flag FROM exposure "
            "WHERE experiment = 'button' ORDER BY phase, unit, at"
        )
    ]


def planned(unit: str, *, phase: int = 1) -> str:
    """What the assignment library gives, asked directly."""
    seed = "button" if phase == 1 else f"button#{phase}"
    given = assign(unit, seed=seed, variants=("control", "green"), weights=(1, 1))
    assert given.variant is not None
    return given.variant


def other(variant: str) -> str:
    return "green" if variant == "control" else "control"


def test_each_visitor_is_exposed_once_however_often_the_client_says_so(house: Published) -> None:
    house.apply(with_button())
    for _ in range(3):
        for visitor in ("v1", "v2"):
            saw(house, planned(visitor), anonymousId=visitor)
        house.settle()

    assert exposures(house) == [
        (1, visitor, planned(visitor), 0, "event", "") for visitor in ("v1", "v2")
    ]


def test_a_visitor_who_logs_in_stays_the_unit_they_were(house: Published) -> None:
    house.apply(with_button())
    saw(house, planned("v1"), anonymousId="v1")
    house.send({"type": "identify", "userId": "ann", "anonymousId": "v1"})
    saw(house, planned("v1"), anonymousId="v1", userId="ann")
    saw(house, planned("v2"), anonymousId="v2", userId="ann")
    house.settle()

    assert [row[1] for row in exposures(house)] == ["v1", "v2"]
    assert len(house.rows("SELECT DISTINCT profile_id FROM exposure")) == 1


def test_nobody_can_name_another_unit_than_their_own(house: Published) -> None:
    house.apply(with_button())
    forged = {"ids": {"anonymous": "v9", "user": "boss"}}
    saw(house, planned("v1"), anonymousId="v1", context=forged)
    house.settle()

    assert [row[1] for row in exposures(house)] == ["v1"]


def test_what_was_not_planned_and_what_nobody_knows_is_counted(house: Published) -> None:
    house.apply(with_button())
    saw(house, other(planned("v1")), anonymousId="v1")
    saw(house, planned("v1"), anonymousId="v1")
    saw(house, "purple", anonymousId="v2")
    saw(house, 7, anonymousId="v3")
    saw(house, "green", userId="ann")
    house.track("ann", "Experiment Viewed", experiment_id="nothing", variation_id="green")
    house.settle()

    assert exposures(house) == [(1, "v1", other(planned("v1")), 0, "event", "off_plan")]
    with house.process.database.read() as connection:
        assert count(connection, now=house.now).misreports == {
            ("another variant than the first", "button"): 1,
            ("unknown variant", "button"): 2,
            ("no unit", "button"): 1,
            ("unknown experiment", ""): 1,
        }


def test_an_account_keeps_its_variant_through_an_edit_whoever_of_it_comes_next(
    house: Published,
) -> None:
    """Twenty accounts: one of each is seen in the first phase, another in the second."""
    house.apply(with_button("traits.house"))
    houses = [f"h{number}" for number in range(20)]
    for name in houses:
        house.send({"type": "identify", "userId": f"first-{name}", "traits": {"house": name}})
        saw(house, planned(name), userId=f"first-{name}")
    house.settle()
    house.now += DAY
    house.apply(with_button("traits.house", ("control: {value", "control: {weight: 2, value")))
    for name in (*houses, "fresh"):
        house.send({"type": "identify", "userId": f"next-{name}", "traits": {"house": name}})
    house.settle()
    for name in (*houses, "fresh"):
        saw(house, planned(name), userId=f"next-{name}")
    house.settle()

    rows = [row for row in exposures(house) if row[1] != "fresh"]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (1, name, planned(name)) for name in sorted(houses) for _ in "12"
    ], "both people of the house are in the phase and the variant of its first"
    assert [row[0] for row in exposures(house) if row[1] == "fresh"] == [2]


def test_two_of_one_account_in_one_batch_agree_across_a_restart(house: Published) -> None:
    house.apply(with_button("traits.house"))
    for user in ("ann", "bob"):
        house.send({"type": "identify", "userId": user, "traits": {"house": "h1"}})
        saw(house, other(planned("h1")) if user == "ann" else planned("h1"), userId=user)
    house.settle()
    house.restart()
    house.settle(until=house.now + HOUR)

    assert [row[2] for row in exposures(house)] == [other(planned("h1"))] * 2


def test_a_crash_leaves_exposure_and_position_together(house: Published) -> None:
    house.apply(with_button())
    saw(house, planned("v1"), anonymousId="v1")

    def exposed() -> int:
        return int(house.rows("SELECT count(*) FROM exposure")[0][0])

    with dying_at("step commit"):
        house.settle()
    before = exposed()
    house.restart()
    house.settle()

    assert (before, exposed()) == (0, 1)


def test_when_two_profiles_are_one_their_units_stay_apart(house: Published) -> None:
    house.apply(with_button())
    saw(house, planned("v1"), anonymousId="v1")
    saw(house, planned("v2"), anonymousId="v2")
    house.settle()
    house.send({"type": "identify", "userId": "ann", "anonymousId": "v1"})
    house.send({"type": "identify", "userId": "ann", "anonymousId": "v2"})
    house.settle()

    assert [row[1] for row in exposures(house)] == ["v1", "v2"]
    assert len(house.rows("SELECT DISTINCT profile_id FROM exposure")) == 1
