"""The rules in order, each on a case of its own, and the numbers a person weighs beside them."""

import re
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import (
    RULES,
    Arm,
    Choice,
    Traffic,
    best_wait,
    decide,
    expected_losses,
    value_of_waiting,
)
from experiments.evidence.compare import Interval
from experiments.evidence.equivalence import Margin
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


def an_arm(**changes):
    return Arm(**{"variant": "reminder", "gain": 1.0, "variance": 0.04, "n": 10_000, **changes})


def decided(*arms, **changes):
    values = {"metric": "revenue", "traffic": Traffic(), "smallest_lift": None, **changes}
    return decide(arms, **values)


@pytest.mark.parametrize(
    ("arms", "changes", "choice", "rule"),
    [
        ([an_arm(is_better=True)], {"withheld": "off"}, Choice.WITHHELD, "sample ratio"),
        ([an_arm(is_better=True)], {"otherwise": "off"}, Choice.WITHHELD, "played otherwise"),
        ([an_arm(is_better=True)], {"awaited": "soon"}, Choice.WAIT, "planned end"),
        ([an_arm(is_better=True, is_harmful=True)], {}, Choice.STOP, "harm"),
        ([an_arm(is_worse=True, gain=-1.0)], {}, Choice.STOP, "worse"),
        ([an_arm(is_better=True)], {}, Choice.SHIP, "better"),
        ([an_arm(is_better=True, is_safe=False)], {}, Choice.EXTEND, "unsafe so far"),
        (
            [an_arm(is_negligible=True)], {"smallest_lift": 0.02},
            Choice.NO_MEANINGFUL_EFFECT, "nothing that matters",
        ),
        ([an_arm()], {"traffic": Traffic(days_left=9.2)}, Choice.EXTEND, "time left"),
        (
            [an_arm(gain=0.05, variance=0.04)], {"traffic": Traffic(units_per_day=500.0)},
            Choice.EXTEND, "worth waiting",
        ),
        ([an_arm()], {}, Choice.INCONCLUSIVE, "undecided"),
        (
            [an_arm(gain=0.05)],
            {"traffic": Traffic(units_per_day=500.0, may_extend=False)},
            Choice.INCONCLUSIVE, "undecided",
        ),
    ],
)  # fmt: skip
def test_the_first_rule_that_applies_decides(arms, changes, choice, rule):
    found = decided(*arms, **changes)

    assert (found.choice, found.rule) == (choice, rule)
    assert found.reason


def test_every_rule_has_a_case_above_and_leads_to_one_choice():
    marks = test_the_first_rule_that_applies_decides.pytestmark
    tried = {case[3] for mark in marks for case in mark.args[1]}

    assert tried == {rule.name for rule in RULES}
    assert {rule.choice for rule in RULES} == set(Choice)


def test_a_harmless_variant_is_shipped_though_another_one_harms():
    found = decided(
        an_arm(variant="discount", gain=3.0, is_better=True, is_harmful=True),
        an_arm(variant="reminder", gain=1.0, is_better=True),
        an_arm(variant="letter", gain=0.5, is_better=True),
    )

    assert (found.choice, found.variant) == (Choice.SHIP, "reminder")


def test_one_variant_that_is_worse_does_not_stop_another_that_is_open():
    found = decided(an_arm(variant="a", gain=-1.0, is_worse=True), an_arm(variant="b"))

    assert found.choice is Choice.INCONCLUSIVE


def test_days_left_are_whole_and_said():
    found = decided(an_arm(), traffic=Traffic(days_left=9.2))

    assert found.days == 10
    assert "10 days" in found.reason


@pytest.mark.parametrize(("gain", "deviation"), [(0.4, 1.0), (-0.3, 0.2), (2.0, 0.5)])
def test_expected_losses_are_the_integrals_over_the_posterior(gain, deviation):
    density = stats.norm(gain, deviation).pdf

    shipped, kept = expected_losses(gain, deviation**2)

    assert shipped == pytest.approx(
        integrate.quad(lambda x: max(-x, 0) * density(x), -12, 0)[0], abs=1e-9
    )
    assert kept == pytest.approx(
        integrate.quad(lambda x: max(x, 0) * density(x), 0, 12)[0], abs=1e-9
    )


def test_the_value_of_a_week_is_what_deciding_after_it_gains_on_average():
    arm, traffic = an_arm(gain=0.1, variance=0.04), Traffic(units_per_day=700.0)
    rng = np.random.default_rng(8)
    # Draw the truth, a week's data about it, and ship whenever the updated mean is above 0.
    week = arm.variance * arm.n / (7 * 700.0)
    truth = rng.normal(arm.gain, sqrt(arm.variance), 2_000_000)
    seen = rng.normal(truth, sqrt(week))
    updated = (arm.gain / arm.variance + seen / week) / (1 / arm.variance + 1 / week)
    gained = np.where(updated > 0, truth, 0.0).mean() - max(arm.gain, 0.0)

    found = value_of_waiting(arm, traffic=traffic)

    assert found.value == pytest.approx(gained * 7 * 700 * 52, rel=0.02)
    assert found.cost == pytest.approx(0.1 * 7 * 700 * 0.5)


def test_waiting_is_worth_nothing_once_the_answer_is_plain():
    plain = an_arm(gain=5.0, variance=0.01)

    assert value_of_waiting(plain, traffic=Traffic(units_per_day=500.0)).value < 1e-9
    assert best_wait(plain, traffic=Traffic(units_per_day=500.0)) == 0


def test_without_traffic_or_variance_no_value_is_made_up():
    assert value_of_waiting(an_arm(), traffic=Traffic()) is None
    assert value_of_waiting(an_arm(variance=0.0), traffic=Traffic(units_per_day=5.0)) is None


def test_what_is_at_stake_is_the_effect_on_thirty_days_of_units():
    found = decided(
        an_arm(is_better=True),
        traffic=Traffic(units_per_day=200.0),
        lifts_abs={"reminder": Interval(1.0, 0.5, None)},
    )

    assert found.stake == Interval(6_000.0, 3_000.0, None)


def test_the_documents_table_of_rules_is_the_one_that_decides():
    page = Path(__file__).parents[2] / "docs" / "experiments.md"
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", page.read_text(encoding="utf-8"), re.M)

    assert rows == [
        (str(place), rule.when, rule.choice.value) for place, rule in enumerate(RULES, start=1)
    ]


# --- from data to decision ------------------------------------------------------------------------

METRICS = (
    Metric(name="revenue", unit="EUR"),
    Metric(name="spam", role="guardrail", better="lower"),
)


def read(revenue, spam=1.0, *, n=2_000, collected=None, weights=None, **changes):
    plan = ExperimentPlan(
        **{
            "name": "nudge", "control": "control",
            "weights": weights or {"control": 1, "reminder": 1},
            "metrics": METRICS, "method": "fixed", **changes,
        }
    )  # fmt: skip

    def arm(means, n):
        variances = (100.0, 0.25)
        return Aggregates(
            n, ("revenue", "spam"), means,
            tuple(tuple(v * (n - 1) if i == j else 0.0 for j in range(2))
                  for i, v in enumerate(variances)),
        )  # fmt: skip

    arms = {"control": arm((50.0, 1.0), 2_000), "reminder": arm((revenue, spam), n)}
    return analyze(plan, arms, collected=collected or Collected()).decision


def test_harm_to_a_guardrail_vetoes_shipping_what_is_better():
    assert read(53.0).choice is Choice.SHIP

    found = read(53.0, spam=1.2)

    assert (found.choice, found.rule) == (Choice.STOP, "harm")


def test_a_guardrail_with_a_margin_must_be_shown_safe_before_shipping():
    tight = read(53.0, spam=1.0, margins={"spam": Margin(0.01, relative=True)})
    wide = read(53.0, spam=1.0, margins={"spam": Margin(0.2, relative=True)})

    assert tight.rule == "unsafe so far"
    assert wide.choice is Choice.SHIP


def test_no_meaningful_effect_and_inconclusive_are_different_answers():
    meaningless = read(50.1, smallest_lift=0.05)
    open_still = read(50.1, smallest_lift=0.001)

    assert meaningless.choice is Choice.NO_MEANINGFUL_EFFECT
    assert open_still.choice is Choice.INCONCLUSIVE


def test_a_mismatch_withholds_until_its_cause_is_known():
    off = read(53.0, n=2_600)
    known = read(53.0, n=2_600, collected=Collected(acknowledged="a bot hit the reminder's page"))

    assert off.choice is Choice.WITHHELD
    assert off.stake is None
    assert known.choice is Choice.SHIP


def test_the_worse_variant_is_stopped():
    assert read(47.0).rule == "worse"


def test_a_lower_is_better_metric_ships_when_it_falls():
    metrics = (replace(METRICS[0], better="lower"), METRICS[1])

    assert read(47.0, metrics=metrics).choice is Choice.SHIP
