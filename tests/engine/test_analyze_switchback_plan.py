"""A switchback as a planned experiment: frozen with a hash, scheduled by a seed, with all faces."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.estimation.switchback_regions import (
    Region,
    is_treated,
    schedule,
    switchback_regions,
)
from tests.engine.test_analyze_command import antiphon, refused

__all__ = ["antiphon", "refused"]

CITIES = ("Lyon", "Nice", "Paris")
BASIC = ("--variant", "arm", "--control", "off", "--metric", "wait", "--switchback", "at",
         "--period", "1h", "--switch-every", "2", "--carryover", "1")  # fmt: skip
PLANNED = (*BASIC, "--region", "city", "--regions", ",".join(CITIES), "--periods", "60",
           "--seed", "couriers", "--starts-at", "2024-01-01T05:00Z")  # fmt: skip


def rides(n: int = 60, *, lift: float = 2.0, seed: int = 1, otherwise: int = 0) -> pd.DataFrame:
    """Rides of three cities, treated as the seed says but for the first coins of Lyon."""
    rng = np.random.default_rng(seed)
    frames = []
    for place, city in enumerate(CITIES):
        coins = np.array(schedule("couriers", regions=(city,), n_periods=n,
                                  starts=range(0, n, 2))[city])  # fmt: skip
        if city == "Lyon":
            coins[: 2 * otherwise] = 1 - coins[: 2 * otherwise]
        hour = np.repeat(np.arange(n), rng.integers(1, 4, n))
        start = pd.Timestamp("2024-01-01T05:00:00")
        minutes = hour * 60 + rng.integers(0, 60, len(hour))
        frames.append(pd.DataFrame({
            "at": start + pd.to_timedelta(minutes, unit="min"), "city": city, "hour": hour,
            "arm": np.where(coins[hour] == 1, "on", "off"),
            "wait": 10 + place + rng.normal(0, 1, len(hour)) + lift * coins[hour],
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def as_csv(tmp_path, frame):
    path = tmp_path / "rides.csv"
    frame.drop(columns="hour").sample(frac=1, random_state=1).to_csv(path, index=False)
    return path


def frozen_plan(antiphon, tmp_path, *extra):
    path = tmp_path / "plan.json"
    code, _, said = antiphon(tmp_path / "rides.csv", *PLANNED, *extra, "--freeze", path)
    assert code == 0
    return path, said


def test_a_frozen_plan_is_read_to_the_number_and_its_hash_stands_on_the_report(antiphon, tmp_path):
    plan, said = frozen_plan(antiphon, tmp_path)  # Before there is any data.
    frame = rides()
    path = as_csv(tmp_path, frame)

    code, out, _ = antiphon(path, *PLANNED, "--frozen", plan, "--json")

    told = json.loads(out)
    digest = json.loads(plan.read_bytes())["sha256"]
    regions = {}
    for city in CITIES:
        its = frame[frame.city == city].groupby("hour")
        regions[city] = Region(its.wait.mean().tolist(),
                               (its.arm.first() == "on").astype(int).tolist())  # fmt: skip
    expected = switchback_regions(
        regions, starts=tuple(range(0, 60, 2)), order=1, alpha=0.05, rng=np.random.default_rng(1)
    )
    found = told["metrics"]["wait"]["treated"]
    assert code == 0
    assert digest in said
    assert told["plan"]["sha256"] == digest
    assert told["plan"]["frozen"] is True
    assert told["plan"]["changes"] == []
    gap = expected.estimates.treatment - expected.estimates.control
    assert found["lift_abs"]["estimate"] == pytest.approx(gap, rel=1e-9)
    assert found["std_error"] == pytest.approx(expected.estimates.difference_variance**0.5)
    assert found["randomization_pvalue"] == expected.randomization_pvalue
    assert found["pvalue"] >= expected.randomization_pvalue
    assert sum(it["n"] for it in told["variants"].values()) == 90
    assert any("60 periods in each of 3 regions" in note for note in told["notes"])


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_face_shows_effect_design_and_hash(antiphon, tmp_path, form):
    plan, _ = frozen_plan(antiphon, tmp_path)
    path = as_csv(tmp_path, rides())
    page = tmp_path / "page"

    antiphon(path, *PLANNED, "--frozen", plan, "--format", form, "--out", page)

    shown = page.read_text()
    assert json.loads(plan.read_bytes())["sha256"][:12] in shown
    assert "Time was randomized" in shown
    assert "assigned anew" in shown
    assert "coins" in shown
    assert "p = <" not in shown
    if form == "html":
        assert "Carry-over" in shown
        assert "couriers" in shown
        assert "switchback estimates" in shown


def test_the_frozen_plan_decides_and_what_is_said_otherwise_is_shown(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path)
    path = as_csv(tmp_path, rides())
    other = [*PLANNED]
    other[other.index("--carryover") + 1] = "0"

    as_planned = json.loads(antiphon(path, *PLANNED, "--frozen", plan, "--json")[1])
    changed = json.loads(antiphon(path, *other, "--frozen", plan, "--json")[1])

    assert changed["metrics"] == as_planned["metrics"]
    assert [it["what"] for it in changed["plan"]["changes"]] == ["design carry-over"]


def test_before_the_planned_end_no_effect_is_told_and_after_it_nothing_more_is_read(
    antiphon, tmp_path
):
    plan, _ = frozen_plan(antiphon, tmp_path)
    early = rides()
    path = as_csv(tmp_path, early[early.hour < 30])

    awaited = json.loads(antiphon(path, *PLANNED, "--frozen", plan, "--json")[1])
    whole = json.loads(antiphon(as_csv(tmp_path, early), *PLANNED, "--frozen", plan, "--json")[1])
    more = pd.concat([early, rides(80, seed=1)[lambda it: it.hour >= 60]])
    longer = json.loads(antiphon(as_csv(tmp_path, more), *PLANNED, "--frozen", plan, "--json")[1])

    assert awaited["metrics"] == {}
    assert "numbers come at 90 coins, there are 45" in awaited["decision"]["reason"]
    assert longer["metrics"] == whole["metrics"]
    assert any("20 periods came after the planned end" in note for note in longer["notes"])


def test_coins_played_otherwise_than_the_seed_says_count_as_assigned(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path)
    path = as_csv(tmp_path, rides(otherwise=3))

    found = json.loads(antiphon(path, *PLANNED, "--frozen", plan, "--json")[1])

    n_treated = sum(is_treated("couriers", city, start)
                    for city in CITIES for start in range(0, 60, 2))  # fmt: skip
    n = {name: it["n"] for name, it in found["variants"].items()}
    assert n == {"off": 90 - n_treated, "treated": n_treated}
    assert any("3 of 90 coins were played otherwise" in note for note in found["notes"])


def test_a_frozen_plan_is_never_overwritten(antiphon, refused, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path)
    before = plan.read_bytes()

    said = refused(tmp_path / "rides.csv", *PLANNED, "--alpha", "0.2", "--freeze", plan)

    assert "give another name" in said
    assert plan.read_bytes() == before


@pytest.mark.parametrize("sha", ["kept", "left out"])
def test_a_plan_edited_since_it_was_frozen_is_refused(antiphon, refused, tmp_path, sha):
    plan, _ = frozen_plan(antiphon, tmp_path)
    content = json.loads(plan.read_text())
    content["plan"]["alpha"] = 0.2
    if sha == "left out":
        del content["sha256"]
    plan.write_text(json.dumps(content))

    said = refused(as_csv(tmp_path, rides()), *PLANNED, "--frozen", plan)

    assert "edited since it was frozen" in said


def test_the_schedule_of_a_frozen_plan_is_that_of_its_own_seed_periods_and_regions(
    antiphon, refused, tmp_path
):
    plan, _ = frozen_plan(antiphon, tmp_path)
    bare = ("--variant", "arm", "--control", "off", "--metric", "wait", "--switchback", "at")
    path = tmp_path / "rides.csv"

    expected = antiphon(path, *PLANNED, "--schedule")[1]
    found = antiphon(path, *bare, "--schedule", "--frozen", plan)[1]
    said = refused(path, *bare, "--schedule", "--frozen", plan, "--seed", "other")

    assert found == expected
    assert "frozen with seed couriers, and the command says other" in said


def test_what_the_command_does_not_say_is_no_difference_from_the_plan(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path, "--alpha", "0.1", "--level", "wait=11")
    bare = ("--variant", "arm", "--control", "off", "--metric", "wait", "--switchback", "at",
            "--region", "city", "--frozen", plan, "--json")  # fmt: skip

    found = json.loads(antiphon(as_csv(tmp_path, rides()), *bare)[1])

    assert found["plan"]["changes"] == []
    assert found["alpha"] == 0.1


def test_a_treatment_that_was_never_off_has_no_verdict(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path, "--level", "wait=11")
    path = as_csv(tmp_path, rides(lift=0.0).assign(arm="on"))

    found = json.loads(antiphon(path, *PLANNED, "--frozen", plan, "--json")[1])
    text = antiphon(path, *PLANNED, "--frozen", plan)[1]

    assert found["decision"]["choice"] == "withheld"
    assert found["metrics"]["wait"]["treated"]["verdict"]["word"] == "withheld"
    assert "Withheld: not played as drawn" in text.splitlines()
    assert "coins were played otherwise than the seed says, more than 5 %" in text
    assert "coins were played otherwise" in found["notes"][0]


def test_a_metric_that_never_varies_has_no_effect_and_is_flagged(antiphon, tmp_path):
    path = as_csv(tmp_path, rides().assign(wait=7.0))

    found = json.loads(antiphon(path, *PLANNED, "--level", "wait=10", "--json")[1])

    entry = found["metrics"]["wait"]["treated"]
    assert entry["lift_abs"]["estimate"] == 0
    assert entry["control"] == entry["treatment"] == 7
    assert any("nothing varies" in note for note in entry["notes"])
    assert entry["verdict"]["word"] == "inconclusive"


def test_a_stray_row_after_the_planned_end_is_counted_and_stops_nothing(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path)
    frame = rides()
    stray = frame.iloc[[0]].assign(at=pd.Timestamp("2024-01-05T05:00:00"), arm="else", wait=None)

    whole = json.loads(antiphon(as_csv(tmp_path, frame), *PLANNED, "--frozen", plan, "--json")[1])
    path = as_csv(tmp_path, pd.concat([frame, stray]))
    found = json.loads(antiphon(path, *PLANNED, "--frozen", plan, "--json")[1])

    assert found["metrics"] == whole["metrics"]
    assert any("1 period came after the planned end" in it and "1 row." in it
               for it in found["notes"])  # fmt: skip


def test_a_level_known_beforehand_leaves_the_effect_and_narrows_its_interval(antiphon, tmp_path):
    path = as_csv(tmp_path, rides())

    plain, levelled = (
        json.loads(antiphon(path, *PLANNED, *extra, "--json")[1])["metrics"]["wait"]["treated"]
        for extra in ((), ("--level", "wait=11"))
    )

    assert levelled["std_error"] < plain["std_error"] / 3
    assert levelled["lift_abs"]["ci_lower"] < 2.0 < levelled["lift_abs"]["ci_upper"]
    assert levelled["control"] == pytest.approx(11, abs=1)  # Where it is, not less the level.
    assert levelled["verdict"]["word"] == "effect detected"


def test_the_schedule_says_what_will_be_played(antiphon, tmp_path):
    code, out, _ = antiphon(tmp_path / "rides.csv", *PLANNED, "--schedule")

    rows = [line.split(",") for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["region", "period", "treated"]
    assert len(rows) == 1 + 180
    for city, period, treated in rows[1:]:
        start = int(period) - int(period) % 2
        assert int(treated) == int(is_treated("couriers", city, start))


def test_a_single_market_may_have_a_page_of_its_own_without_a_plan(antiphon, tmp_path):
    frame = rides()
    path = as_csv(tmp_path, frame[frame.city == "Nice"])

    code, _, _ = antiphon(path, *BASIC, "--format", "html", "--out", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert code == 0
    assert "60 periods, " in page
    assert "switchback estimates" in page


def test_two_runs_give_the_same_bytes(antiphon, tmp_path):
    plan, _ = frozen_plan(antiphon, tmp_path)
    path = as_csv(tmp_path, rides())

    first, second = (antiphon(path, *PLANNED, "--frozen", plan, "--json")[1] for _ in range(2))

    assert first == second


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (("--method", "sequential", "--planned-sample", "90"), "read once"),
        (("--regions", "Lyon,Nice"), "the file holds Lyon, Nice, Paris"),
        (("--regions", "Lyon,Lyon"), "each of them once"),
        (("--periods", "1"), "at least 2"),
        (("--starts-at", "2024-01-01T05:30Z"), "whole multiples"),
        (("--starts-at", "soon"), "write a time"),
        (("--starts-at", "2024-01-01T06:00Z"), "lie before the first period"),
        (("--frozen", "nowhere.json"), "cannot be read as a frozen plan"),
        (("--region", "town"), 'no column "town"'),
        (("--level", "wait=much"), "METRIC=NUMBER"),
        (("--level", "rides=3"), "METRIC=NUMBER"),
        (("--seed", "", "--schedule"), "--schedule needs --seed"),
    ],
)
def test_what_is_no_design_is_refused(refused, tmp_path, extra, says):
    assert says in refused(as_csv(tmp_path, rides()), *PLANNED, *extra)


def test_a_plan_of_something_else_is_refused(refused, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text('{"method": "fixed", "weights": {"a": 1}}')

    said = refused(as_csv(tmp_path, rides()), *PLANNED, "--frozen", plan)

    assert "no frozen plan of a switchback" in said


def test_ragged_regions_and_third_variants_are_refused(refused, tmp_path):
    frame = rides()
    short = frame[(frame.city != "Paris") | (frame.hour < 58)]
    third = frame.assign(arm=frame.arm.where(frame.city != "Paris", "other"))

    assert 'region "Paris" has no row in period 58' in refused(as_csv(tmp_path, short), *PLANNED)
    assert "compares two variants" in refused(as_csv(tmp_path, third), *PLANNED)


def test_options_of_a_switchback_belong_to_it(refused, tmp_path):
    path = as_csv(tmp_path, rides())

    said = refused(path, "--variant", "arm", "--control", "off", "--metric", "wait", "--seed", "x")

    assert "--seed belongs to --switchback" in said
