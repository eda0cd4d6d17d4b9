import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import DataError
from experiments.sums.aggregates import Aggregates, merged

numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
rows = st.lists(st.tuples(numbers, numbers), max_size=30)


def of(found):
    return Aggregates.from_rows(("a", "b"), found)


def close(one, other):
    assert one.n == other.n
    assert one.means == pytest.approx(other.means, rel=1e-9, abs=1e-6)
    for left, right in zip(one.moments, other.moments, strict=True):
        assert left == pytest.approx(right, rel=1e-9, abs=1e-2)


@given(one=rows, two=rows, three=rows)
def test_merging_parts_gives_the_whole_in_any_order(one, two, three):
    a, b, c = of(one), of(two), of(three)

    close(a.merge(b).merge(c), of(one + two + three))
    close(a.merge(b.merge(c)), a.merge(b).merge(c))
    close(a.merge(b), b.merge(a))
    assert a.merge(of([])) == a == of([]).merge(a)


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(3)
    values = {"x": rng.normal(5, 2, 500), "y": rng.gamma(2, 3, 500)}

    found = Aggregates.from_columns(values)

    expected = np.cov(values["x"], values["y"])
    assert found.variance("x") == pytest.approx(expected[0, 0], rel=1e-12)
    assert found.covariance("x", "y") == pytest.approx(expected[0, 1], rel=1e-12)
    assert found.mean("y") == pytest.approx(values["y"].mean(), rel=1e-14)


@pytest.mark.parametrize(("mean", "deviation"), [(1e8, 1.0), (1.7e12, 1e5)])
def test_a_large_offset_costs_no_precision(mean, deviation):
    # Raw sums of squares give 2.10 for a variance of 1 at 1e8, and are 27 % off for milliseconds
    # since 1970 (measured on a well-known library).
    noise = np.random.default_rng(1).normal(0, deviation, 20_000)
    values = mean + noise
    exact = np.var(values - mean, ddof=1)

    whole = Aggregates.from_columns({"at": values})
    parts = merged(Aggregates.from_columns({"at": part}) for part in np.array_split(values, 37))
    shifted = Aggregates.from_shifted_sums(
        ["at"],
        n=len(values),
        shifts=[mean],
        sums=[float((values - mean).sum())],
        products=[[float(((values - mean) ** 2).sum())]],
    )

    for found in (whole, parts, shifted):
        assert found.variance("at") == pytest.approx(exact, rel=1e-9)


@given(found=rows.filter(bool), shift=st.tuples(numbers, numbers))
def test_sums_after_any_shift_give_the_same_moments(found, shift):
    left = np.array(found) - shift

    ours = Aggregates.from_shifted_sums(
        ("a", "b"),
        n=len(found),
        shifts=shift,
        sums=left.sum(axis=0).tolist(),
        products=(left.T @ left).tolist(),
    )

    assert ours.means == pytest.approx(of(found).means, rel=1e-9, abs=1e-6)
    # The further the shift from the mean, the more digits cancel: bound by the shifted squares.
    room = 1e-13 * len(found) * max(1.0, float((left**2).sum()))
    assert ours.moments[0][1] == pytest.approx(of(found).moments[0][1], rel=1e-9, abs=room + 1e-3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="cannot merge"):
        Aggregates.empty(("a",)).merge(Aggregates.empty(("b",)))
    with pytest.raises(DataError, match="not finite"):
        Aggregates.from_columns({"a": [1.0, float("nan")]})
    with pytest.raises(DataError, match="row 2 has 1 values"):
        Aggregates.from_rows(("a", "b"), [(1, 2), (3,)])
    with pytest.raises(DataError, match="not among the aggregates"):
        Aggregates.empty(("a",)).mean("b")
    with pytest.raises(DataError, match="different lengths"):
        Aggregates.from_columns({"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(DataError, match="nothing to merge"):
        merged([])
