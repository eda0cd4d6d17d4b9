"""Caps by lot: the planted best is found, a curve over what people got is refused."""

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from engine.learning.frequency import Doses, Worth, choose, curve
from engine.learning.frequency.curves import rising
from engine.learning.refusals import Refused
from experiments.evidence.equivalence import GuardrailWord, Margin
from tests.rig.sizes import scaled

Array = np.ndarray
THIRDS = {1: 1 / 3, 2: 1 / 3, 4: 1 / 3}
WORTH = Worth(outcome=20.0, unsubscribe=15.0, send=0.05)
MARGIN = Margin(0.005)


def a_trial(
    n: int,
    rng: np.random.Generator,
    *,
    gain: tuple[float, float] = (0.05, 0.0),
    leaving: tuple[float, float] = (0.001, 0.012),
) -> Doses:
    """Two kinds of people: the eager buy more with each doubling of the cap, the tired leave."""
    tired = rng.integers(0, 2, n)
    dose = rng.choice([1, 2, 4], n)
    bought = rng.random(n) < 0.05 + np.array(gain)[tired] * np.log2(dose)
    left = rng.random(n) < np.array(leaving)[tired] * dose
    sends = np.minimum(rng.poisson(3.0, n), dose)
    names = np.where(tired == 1, "tired", "eager")
    return Doses.of(dose, bought, left, sends, shares=THIRDS, segment=names)


def test_each_kind_of_people_gets_the_cap_that_was_planted_as_its_best() -> None:
    rng = np.random.default_rng(1)

    found = choose(a_trial(scaled(20_000), rng), WORTH, today=2, margin=MARGIN, rng=rng)

    assert found.way == "by_segment", found.why
    assert found.doses == {"eager": 4, "tired": 1}
    assert found.guardrails["by_segment"].word is GuardrailWord.SAFE
    # Planted, per person: half are eager, .05 more purchases of 20 for one doubling, less .002
    # who leave at 15 and about .7 messages at .05; half are tired, .012 fewer who leave.
    truth = 0.5 * (0.05 * 20 - 0.002 * 15 - 0.05 * 0.71) + 0.5 * (0.012 * 15 + 0.05 * 0.80)
    low, high = found.gains["by_segment"].ci_lower, found.gains["by_segment"].ci_upper
    assert low is not None
    assert high is not None
    assert low < truth < high


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    covered, runs = 0, scaled(120)
    # One for all against today where the best of all is surely 4: eager people only.
    truth = 0.05 * 20 - 0.002 * 15 - 0.05 * 0.71
    for seed in range(runs):
        rng = np.random.default_rng(1_000 + seed)
        trial = a_trial(4_000, rng, gain=(0.05, 0.05), leaving=(0.001, 0.001))
        it = choose(trial, WORTH, today=2, margin=MARGIN, rng=rng).gains["one"]
        covered += (it.ci_lower or 0.0) < truth < (it.ci_upper or 0.0)
    # 95 % less what a binomial of so many runs may miss by three standard errors.
    assert covered / runs > 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs)


def test_where_people_do_not_differ_one_cap_serves_all() -> None:
    rng = np.random.default_rng(2)
    trial = a_trial(scaled(20_000), rng, gain=(0.05, 0.05), leaving=(0.001, 0.001))

    found = choose(trial, WORTH, today=2, margin=MARGIN, rng=rng)

    assert found.way == "one", found.why
    assert set(found.doses.values()) == {4}


def test_where_a_cap_changes_nothing_todays_stays() -> None:
    changed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        trial = a_trial(3_000, rng, gain=(0.0, 0.0), leaving=(0.0, 0.0))
        free = Worth(outcome=20.0)
        changed += choose(trial, free, today=2, margin=MARGIN, rng=rng).way != "today"
    # Each is a two-sided test at 5 %: one of twenty in either direction, half of them for more.
    assert changed <= 2


def test_more_money_is_not_taken_for_more_who_leave() -> None:
    rng = np.random.default_rng(3)
    trial = a_trial(scaled(20_000), rng, gain=(0.05, 0.05), leaving=(0.006, 0.006))

    found = choose(trial, WORTH, today=2, margin=MARGIN, rng=rng)

    assert found.way == "today"
    assert found.guardrails["one"].word is GuardrailWord.HARM
    assert "of unsubscribes worse than the control" in found.why


def test_what_people_happened_to_get_misleads_and_is_refused() -> None:
    # Messages do nothing but make people leave; the engaged buy more and are sent more.
    n, rng = 9_000, np.random.default_rng(4)
    engaged = rng.random(n)
    got = np.array([1, 2, 4])[np.clip((engaged * 3 + rng.normal(0, 0.3, n)).astype(int), 0, 2)]
    drawn = rng.choice([1, 2, 4], n)
    bought = (rng.random(n) < 0.02 + 0.2 * engaged).astype(float)
    segment = np.where(engaged > 0.5, "engaged", "not")

    def left(dose: Array) -> Array:
        return np.asarray(rng.random(n) < 0.004 * dose)

    means = [bought[got == it].mean() for it in (1, 2, 4)]
    assert means[2] > 2 * means[0]  # "more messages, more purchases"
    shares = {it: float(np.mean(got == it)) for it in (1, 2, 4)}
    with pytest.raises(Refused, match='do not stand in their shares within "engaged"'):
        Doses.of(got, bought, left(got), got, shares=shares, segment=segment)
    honest = Doses.of(drawn, bought, left(drawn), drawn, shares=THIRDS, segment=segment)
    found = choose(honest, WORTH, today=2, margin=MARGIN, rng=rng)
    assert set(found.doses.values()) <= {1, 2}
    assert curve(honest, WORTH).points[2].gain.estimate < 0  # type: ignore[operator]


def test_the_curve_holds_each_dose_against_the_smallest_by_welch() -> None:
    trial = a_trial(6_000, np.random.default_rng(5))

    found = curve(trial, WORTH)

    net = trial.net(WORTH)
    theirs = stats.ttest_ind(net[trial.dose == 4], net[trial.dose == 1], equal_var=False)
    interval = theirs.confidence_interval()
    assert found.points[2].gain.estimate == pytest.approx(
        net[trial.dose == 4].mean() - net[trial.dose == 1].mean(), abs=1e-12
    )
    assert found.points[2].gain.ci_lower == pytest.approx(interval.low, abs=1e-9)
    assert found.points[2].gain.ci_upper == pytest.approx(interval.high, abs=1e-9)
    assert found.points[0].fitted == 0
    assert found.words()[2].startswith(f"at most 4: {found.points[2].n:,} people, +")


def test_rising_curves_are_scikit_learns_isotonic_ones() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        values, weights = rng.normal(size=8), rng.uniform(0.1, 5, 8)
        theirs = IsotonicRegression().fit_transform(np.arange(8), values, sample_weight=weights)
        assert np.abs(rising(values, weights) - theirs).max() < 1e-12


def test_a_top_between_the_doses_is_pointed_at() -> None:
    n, rng = 30_000, np.random.default_rng(7)
    dose = rng.choice([1, 3, 6], n)
    outcome = 5 - 0.3 * (dose - 4.0) ** 2 + rng.normal(0, 1, n)
    shares = {1: 1 / 3, 3: 1 / 3, 6: 1 / 3}

    found = curve(Doses.of(dose, outcome, np.zeros(n), dose, shares=shares), Worth())

    assert found.peak == pytest.approx(4.0, abs=0.1)


def test_the_same_draw_gives_the_same_choice() -> None:
    trial = a_trial(3_000, np.random.default_rng(8))

    runs = [
        choose(trial, WORTH, today=2, margin=MARGIN, rng=np.random.default_rng(1)) for _ in range(2)
    ]

    assert runs[0] == runs[1]


def test_what_cannot_be_read_is_refused() -> None:
    rng = np.random.default_rng(9)
    few = rng.choice([1, 2, 4], 60)
    zero = np.zeros(60)
    with pytest.raises(Refused, match="people drew"):
        Doses.of(few, zero, zero, zero, shares=THIRDS)
    with pytest.raises(Refused, match=r"do not stand in their shares: .*against 33% / 33% / 33%"):
        Doses.of(np.repeat([1, 2, 4], [300, 300, 500]), *[np.zeros(1_100)] * 3, shares=THIRDS)
    with pytest.raises(ValueError, match="adding up to 1"):
        Doses.of(few, zero, zero, zero, shares={1: 0.5, 2: 0.2})
    with pytest.raises(ValueError, match="were drawn, of"):
        Doses.of(few, zero, zero, zero, shares={1: 0.5, 2: 0.5})
    with pytest.raises(ValueError, match="not one row each"):
        Doses.of(few, zero[:5], zero, zero, shares=THIRDS)
    with pytest.raises(ValueError, match="not a number"):
        Doses.of(few, zero + np.nan, zero, zero, shares=THIRDS)
    with pytest.raises(ValueError, match="worth of send"):
        Worth(send=-1.0)
    with pytest.raises(Refused, match="cap of 3 was not drawn"):
        choose(a_trial(900, rng), WORTH, today=3, margin=MARGIN, rng=rng)
