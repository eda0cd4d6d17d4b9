"""Send times: a simulation in which the oracle is known, exposure, refusals."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from engine.learning.refusals import Refused
from engine.learning.send_times import SendTimes, chances, judge, learn
from engine.learning.send_times.counts import Counts, kernel
from tests.rig.sizes import scaled

Array = np.ndarray
HOURS = np.arange(24)


@dataclass(frozen=True, eq=False)
class Rows:
    """The shape of `History.hours`."""

    ids: Array
    hours: Array
    acts: Array
    sends: Array


def rows(acts: Array, sends: Array | None = None, *, seed: int = 9) -> Rows:
    """People by hour of the day, each count on a weekday of its own."""
    sends = np.zeros(acts.shape) if sends is None else sends
    who, hour = np.nonzero((acts > 0) | (sends > 0))
    day = np.random.default_rng(seed).integers(0, 7, len(who))
    return Rows(who, hour + 24 * day, acts[who, hour].astype(float), sends[who, hour].astype(float))


def weeks(acts: Array, rng: np.random.Generator) -> Rows:
    """People by hour of the day, each single act on a weekday of its own."""
    by_day = rng.multinomial(acts, np.full(7, 1 / 7))
    who, hour, weekday = np.nonzero(by_day)
    count = by_day[who, hour, weekday].astype(float)
    return Rows(who, hour + 24 * weekday, count, np.zeros(len(who)))


def people(n: int, rng: np.random.Generator) -> Array:
    """True shares of acting by hour: a main time, often a second one, and a little always."""
    main = rng.choice([8.0, 12.5, 18.0, 21.0], size=n, p=[0.3, 0.2, 0.3, 0.2])
    width = rng.uniform(1.0, 2.5, n)[:, None]

    def around(centre: Array) -> Array:
        apart = np.abs(HOURS - centre[:, None])
        bump = np.exp(-(np.minimum(apart, 24 - apart) ** 2) / (2 * width**2))
        return np.asarray(bump / bump.sum(axis=1, keepdims=True))

    first = around((main + rng.normal(0, 2, n)) % 24)
    weight = rng.uniform(0.5, 0.9, n)[:, None]
    mixed = weight * first + (1 - weight) * around(rng.uniform(0, 24, n))
    return np.asarray(0.9 * mixed + 0.1 / 24)


def worth(found: SendTimes, truth: Array) -> float:
    """Of the best hour's worth, the share that these hours get; the rest gets the common hour."""
    hour = np.full(len(truth), found.fallback)
    hour[found.ids] = found.hours
    return worth_of(hour, truth)


def worth_of(hour: Array, truth: Array) -> float:
    return float((truth[np.arange(len(truth)), hour] / truth.max(axis=1)).mean())


def test_smoothing_beats_the_busiest_hour_and_that_the_hour_of_all() -> None:
    # Mean 12 acts, some none, as in the facts: global best hour .33, each one's busiest .55, kernel
    # .56, with a prior .57 there; here people are smoother: all is higher, the order the same.
    n, rng = scaled(6_000), np.random.default_rng(1)
    truth = people(n, rng)
    acts = rng.multinomial(rng.poisson(rng.gamma(0.9, 14.0, n)), truth)
    common = int(acts.sum(axis=0).argmax())

    busiest = worth_of(np.where(acts.sum(axis=1) > 0, acts.argmax(axis=1), common), truth)
    smoothed = worth(learn(rows(acts), min_events=1, strength=1e-9), truth)
    drawn = worth(learn(rows(acts), min_events=1), truth)

    assert worth_of(np.full(n, common), truth) == pytest.approx(0.36, abs=0.03)
    assert busiest == pytest.approx(0.71, abs=0.02)
    assert smoothed - busiest > 0.06
    assert drawn > smoothed


def test_below_the_least_number_of_acts_nobody_has_an_hour() -> None:
    acts = np.zeros((3, 24))
    acts[0, 9], acts[1, 9], acts[2, 20] = 5, 6, 7

    found = learn(rows(acts), min_events=6)

    assert found.ids.tolist() == [1, 2]
    assert found.labels() == ["09", "20"]
    assert found.n_acts.tolist() == [6, 7]


def test_answers_are_weighed_by_what_was_sent_when() -> None:
    # Everybody likes the evening; nearly all was sent at nine, a tenth at any hour.
    n, rng = scaled(3_000), np.random.default_rng(2)
    apart = np.abs(HOURS - 20)
    evening = np.exp(-(np.minimum(apart, 24 - apart) ** 2) / (2 * 3.0**2)) + 0.15
    truth = np.tile(evening / evening.sum(), (n, 1))
    sending = np.full(24, 0.1 / 24) + 0.9 * (HOURS == 9)
    sends = rng.multinomial(120, sending, size=n)
    acts = rng.binomial(sends, 0.9 * evening / evening.max())

    naive = learn(rows(acts), min_events=6)
    found = learn(rows(acts, sends), min_events=6)

    assert naive.fallback == 9
    assert abs(found.fallback - 20) <= 1
    assert worth(naive, truth) < 0.3
    assert worth(found, truth) > 0.75


def test_visits_are_not_weighed_for_nobody_asked_for_them() -> None:
    acts, visits, sends = np.zeros((1, 24)), np.zeros((1, 24)), np.zeros((1, 24))
    acts[0, 9], sends[0, 9], visits[0, 9] = 4.0, 400.0, 8.0

    counts = Counts.of(rows(acts, sends), rows(visits), width=1.5)

    assert counts.raw[0, 9] == 12
    assert counts.corrected[0].sum() == pytest.approx(12)


def test_an_answer_counts_ten_times_one_at_the_most() -> None:
    acts, sends = np.zeros((1, 24)), np.zeros((1, 24))
    acts[0, 9], acts[0, 21], sends[0, 9] = 1.0, 1.0, 1e9

    counts = Counts.of(rows(acts, sends), None, width=0.0)

    assert counts.corrected[0, 21] / counts.corrected[0, 9] == pytest.approx(
        (0.1 / 24 + 0.9) / (0.1 / 24), rel=1e-6
    )
    assert counts.corrected[0].sum() == pytest.approx(2)


def test_only_allowed_hours_are_chosen() -> None:
    acts = np.zeros((2, 24))
    acts[0, 3], acts[0, 10], acts[1, 15] = 20, 2, 9

    found = learn(rows(acts), min_events=6, allowed=range(8, 20))

    assert found.hours.tolist() == [10, 15]
    assert 8 <= found.fallback < 20


def test_midnight_is_no_wall() -> None:
    acts = np.zeros((1, 24))
    acts[0, 23], acts[0, 0], acts[0, 1], acts[0, 12] = 4, 3, 4, 5

    found = learn(rows(acts), min_events=6)

    assert found.hours.tolist() == [0]
    assert kernel(1.5).sum(axis=1) == pytest.approx(np.ones(24))
    assert kernel(1.5)[0, 23] == pytest.approx(kernel(1.5)[11, 12])


def test_who_acts_like_nobody_else_is_surer_the_more_they_act() -> None:
    acts = np.zeros((60, 24))
    acts[:, 12] = 10
    acts[0], acts[1] = 0, 0
    acts[0, 20], acts[1, 20] = 8, 80

    found = learn(rows(acts), min_events=6)

    assert found.fallback == 12
    assert found.hours[:2].tolist() == [20, 20]
    assert 0.5 < found.confidence[0] < found.confidence[1]
    assert found.confidence[2] == 1.0
    assert found.shares[1] > found.shares[0]


def test_people_alike_lend_their_hours() -> None:
    acts = np.zeros((80, 24))
    acts[:40, 9], acts[40:79, 21] = 30, 30
    acts[79, [3, 6, 14, 17]] = [2, 2, 1, 1]  # shows nothing by themselves
    groups = (np.arange(80), np.repeat([0, 1], 40))

    alone = learn(rows(acts), min_events=6, strength=40.0)
    among = learn(rows(acts), min_events=6, strength=40.0, groups=groups)

    assert alone.hours[79] == 9
    assert among.hours[79] == 21


def test_the_draw_explores_and_its_chances_sum_to_one() -> None:
    found = chances(9, allowed=range(8, 18), explore=0.1)

    assert found.sum() == pytest.approx(1)
    assert found[9] == pytest.approx(0.91)
    assert found[8] == pytest.approx(0.01)
    assert found[20] == 0
    with pytest.raises(ValueError, match="hour 20 is not allowed"):
        chances(20, allowed=range(8, 18), explore=0.1)
    with pytest.raises(ValueError, match="explore share of 2"):
        chances(9, allowed=range(24), explore=2.0)


def test_own_hours_are_judged_on_acts_that_taught_nothing() -> None:
    n, rng = scaled(2_000), np.random.default_rng(4)
    acts = rng.multinomial(rng.poisson(12, n), people(n, rng))

    found = judge(weeks(acts, rng), min_events=6, rng=rng)

    assert found.is_better, found.why
    assert found.own > 1.5 * found.common
    json.dumps(found.metrics(), allow_nan=False)


def test_where_all_act_alike_own_hours_are_not_promoted() -> None:
    alike = people(1, np.random.default_rng(6))[0]
    n_better = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        acts = rng.multinomial(rng.poisson(12, 400), np.tile(alike, (400, 1)))
        n_better += judge(weeks(acts, rng), min_events=6, rng=rng).is_better
    assert n_better == 0


def test_bursts_at_hours_of_pure_chance_promote_no_hour() -> None:
    # Each click comes with up to five more of the same minute, and with the visit it began: dealt
    # one by one, they stood on both sides of the judgement and "foretold" each other by 18 points.
    for seed in range(5):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(400), 5)
        hours, none = rng.integers(168, size=len(who)), np.zeros(len(who))
        clicks = Rows(who, hours, rng.integers(1, 7, len(who)).astype(float), none)
        visits = Rows(who, hours, np.ones(len(who)), none)

        found = judge(clicks, min_events=6, rng=rng, free=visits)

        assert found.n > 200
        assert not found.is_better, found.why
        assert abs(found.gain) < 0.06


def test_the_order_of_the_rows_changes_nothing() -> None:
    rng = np.random.default_rng(7)
    acts = rng.multinomial(rng.poisson(12, 200), people(200, rng))
    given = rows(acts)
    order = rng.permutation(len(given.ids))

    once = learn(given, min_events=6)
    mixed = learn(Rows(*(getattr(given, it)[order] for it in ("ids", "hours", "acts", "sends"))),
                  min_events=6)  # fmt: skip

    assert (once.hours == mixed.hours).all()
    assert np.abs(once.shares - mixed.shares).max() < 1e-12


def test_too_little_and_senseless_counts_are_refused() -> None:
    none = np.empty(0, dtype=np.int64)
    with pytest.raises(Refused, match=r"nobody acted 6 times \(the most is 0\)"):
        learn(Rows(none, none, none.astype(float), none.astype(float)), min_events=6)
    with pytest.raises(Refused, match="the most is 5"):
        learn(rows(np.eye(24) * 5), min_events=6)
    with pytest.raises(Refused, match="1 people acted often enough"):
        judge(rows(np.full((1, 24), 3.0)), min_events=6, rng=np.random.default_rng(1))
    one = np.ones(1)
    with pytest.raises(ValueError, match="between 0 and 167"):
        learn(Rows(np.array([1]), np.array([168]), one, one), min_events=1)
    with pytest.raises(ValueError, match="negative"):
        learn(Rows(np.array([1]), np.array([5]), -one, one), min_events=1)
    with pytest.raises(ValueError, match="allowed hours are"):
        learn(rows(np.eye(24) * 9), min_events=6, allowed=())
