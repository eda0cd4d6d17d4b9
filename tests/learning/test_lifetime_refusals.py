"""Numbers from which no lifetime can be told are refused in words."""

import numpy as np
import pytest

from engine.learning.lifetime.bg_nbd import fit_bg_nbd
from engine.learning.lifetime.gamma_gamma import fit_gamma_gamma
from engine.learning.lifetime.proving import prove
from engine.learning.lifetime.repeats import WEEK, repeats_of
from engine.learning.refusals import Refused


def test_nobody_who_came_back_is_refused_with_the_number() -> None:
    zeros = np.zeros(500)

    with pytest.raises(Refused, match="0 people of 500 bought on a second day"):
        fit_bg_nbd(zeros, zeros, np.full(500, 30.0))


def test_no_time_at_all_is_refused() -> None:
    zeros = np.zeros(100)

    with pytest.raises(Refused, match="no time has passed"):
        fit_bg_nbd(zeros, zeros, zeros)


def test_nobody_at_all_is_refused() -> None:
    none = np.empty(0)

    with pytest.raises(Refused, match="nobody has bought"):
        fit_bg_nbd(none, none, none)
    with pytest.raises(Refused, match="nobody has bought"):
        repeats_of(none, none, none, as_of=5)


@pytest.mark.parametrize("amount", [np.inf, -np.inf])
def test_an_infinite_amount_is_refused_and_never_read_as_a_return(amount: float) -> None:
    ids, times = np.repeat(np.arange(50), 2), np.tile([0, 2 * WEEK], 50)
    amounts = np.append(np.full(99, 20.0), amount)

    with pytest.raises(Refused, match="1 amounts are infinite"):
        repeats_of(ids, times, amounts, as_of=9 * WEEK)
    with pytest.raises(Refused, match="1 amounts are infinite"):
        prove(ids, times, amounts, as_of=9 * WEEK, within=4 * WEEK, has_value=True)


@pytest.mark.parametrize(
    ("x", "t_x", "age"),
    [
        (-1.0, 0.0, 5.0),  # fewer than none
        (1.5, 2.0, 5.0),  # half a purchase
        (2.0, 6.0, 5.0),  # bought after we looked
        (0.0, 2.0, 5.0),  # came back, but did not
        (2.0, np.nan, 5.0),
        (2.0, 3.0, np.inf),
    ],
)
def test_a_row_that_contradicts_itself_is_named(x: float, t_x: float, age: float) -> None:
    with pytest.raises(Refused, match="row 1 says"):
        fit_bg_nbd([1.0, x], [2.0, t_x], [5.0, age])


def test_equal_spend_and_too_few_spenders_are_refused() -> None:
    with pytest.raises(Refused, match="everybody spends 20 each time"):
        fit_gamma_gamma(np.full(50, 2.0), np.full(50, 20.0))
    with pytest.raises(Refused, match="0 people spent on a second day"):
        fit_gamma_gamma(np.full(50, 2.0), np.full(50, -3.0))


def test_spend_without_a_mean_is_refused() -> None:
    rng = np.random.default_rng(4)
    wild = np.exp(rng.normal(0, 6, 2_000))

    with pytest.raises(Refused, match="has no mean"):
        fit_gamma_gamma(np.full(2_000, 3.0), wild)


def test_whose_purchases_all_came_back_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(4)
    x, spend = rng.integers(1, 9, 400).astype(float), rng.gamma(6, 4 / rng.gamma(4, 1 / 4, 400))
    spend[:7] = [-5, 0, 0, -1, 0, -2, 0]

    model = fit_gamma_gamma(x, spend)

    assert model.n == 393
    assert "7 people whose repeat purchases came to nothing" in model.notes[0]
    assert model.expected_spend(x[:7], spend[:7]) == pytest.approx(np.full(7, model.mean))


def test_spend_that_goes_with_frequency_is_warned_of() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(1, 9, 400).astype(float)

    model = fit_gamma_gamma(x, x * rng.gamma(6, 1, 400))

    assert "who buys often spends more a time" in model.notes[0]


def test_purchases_at_or_after_the_instant_are_not_read() -> None:
    ids, times = np.array([1, 1, 1, 2]), np.array([10, 20, 30, 30])

    found = repeats_of(ids, times, np.array([5.0, 6.0, 7.0, 8.0]), as_of=30)

    assert found.ids.tolist() == [1]
    assert (found.x.tolist(), found.spend.tolist()) == ([1.0], [6.0])


def test_a_span_in_which_nobody_bought_judges_nothing() -> None:
    """Whichever foretold least would win there: on the model of a dead shop."""
    rng = np.random.default_rng(5)
    ids = np.repeat(np.arange(80), 5)
    times = (rng.uniform(0, 12, len(ids)) * WEEK).astype(np.int64)
    amounts = rng.uniform(1, 90, len(ids))

    with pytest.raises(Refused, match=r"never happens: none of 80 people .* the last 3 days"):
        prove(ids, times, amounts, as_of=16 * WEEK, within=3 * WEEK // 7, has_value=True)


def test_a_span_of_days_is_told_in_days() -> None:
    rng = np.random.default_rng(5)
    ids = np.repeat(np.arange(80), 5)
    times = (rng.uniform(0, 12, len(ids)) * WEEK).astype(np.int64)

    proof = prove(
        ids, times, np.ones(len(ids)), as_of=12 * WEEK, within=3 * WEEK // 7, has_value=False
    )

    assert "over 3 days that it had not seen" in proof.why
