"""The sum of the parts beside the whole."""

import numpy as np
import pytest

from experiments.distributions import normal_density
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.programme.holdout import Impact, total_impact
from experiments.programme.meta import PastEffect
from experiments.programme.reconcile import Part, reconcile


def a_whole(effect: float, *, error: float = 0.05, n: int = 1_000) -> Impact:
    half = error**2 / 2
    return total_impact(Estimates(1.0, 1.0 + effect, half, half, 0, error**2, 100, n, 500.0))


def a_part(name: str, effect: float, variance: float = 0.01, **changes) -> Part:
    return Part(effect=PastEffect(name, effect, variance), n_units=1_000, **changes)


def test_the_plain_sum_scales_each_effect_by_the_units_it_reached() -> None:
    parts = [
        Part(effect=PastEffect("a", 0.2, 0.01), n_units=500),
        Part(effect=PastEffect("b", 0.4, 0.04), n_units=100),
        Part(effect=PastEffect("lost", -0.3, 0.01), n_units=700, is_shipped=False),
    ]

    found = reconcile(a_whole(0.1), parts)

    assert found.raw.estimate == pytest.approx(500 * 0.2 + 100 * 0.4)
    radius = 1.959964 * np.sqrt(500**2 * 0.01 + 100**2 * 0.04)
    assert found.raw.ci_upper - found.raw.estimate == pytest.approx(radius, rel=1e-6)
    assert [it.name for it in found.shares] == ["a", "b"]


def test_each_share_is_shrunk_by_what_its_noise_deserves() -> None:
    parts = [a_part("a", 0.5), a_part("b", -0.4, 0.02), a_part("c", 0.3, 0.05)]

    found = reconcile(a_whole(0.1), parts)

    tau2 = found.between_variance
    for share, part in zip(found.shares, parts, strict=True):
        kept = tau2 / (tau2 + part.effect.variance)
        assert share.shrunk == pytest.approx(1_000 * part.effect.estimate * kept)


def test_the_curse_is_lee_and_shens_sum_over_all_experiments() -> None:
    parts = [
        a_part("shipped", 0.25, threshold=1.96),
        a_part("failed", 0.1, is_shipped=False, threshold=1.96),
        a_part("kept whatever it showed", 0.3),
    ]

    found = reconcile(a_whole(0.4), parts)

    expected = 1_000 * 0.1 * (normal_density(1.96 - 2.5) + normal_density(1.96 - 1.0))
    assert found.curse == pytest.approx(expected, rel=1e-12)
    assert found.corrected == pytest.approx(found.raw.estimate - expected)


def test_both_corrections_take_most_of_the_winners_curse_away() -> None:
    rng = np.random.default_rng(3)
    plain, corrected, pulled = [], [], []
    for _ in range(400):
        truth = rng.normal(0, 0.1, 40)
        seen = rng.normal(truth, 0.1)
        shipped = seen > 0.1 * 1.64
        parts = [
            a_part(f"{i}", float(seen[i]), is_shipped=bool(shipped[i]), threshold=1.64)
            for i in range(40)
        ]
        if not shipped.any():
            continue
        found = reconcile(a_whole(0.4), parts)
        real = 1_000 * truth[shipped].sum()
        plain.append(found.raw.estimate - real)
        corrected.append(found.corrected - real)
        pulled.append(found.shrunk.estimate - real)

    assert np.mean(plain) > 500
    # Lee and Shen put the estimate in for the truth, which leaves a part of the bias.
    assert abs(np.mean(corrected)) < 0.5 * np.mean(plain)
    assert abs(np.mean(pulled)) < 0.15 * np.mean(plain)


def test_a_whole_as_large_as_its_parts_agrees() -> None:
    parts = [a_part("a", 0.5, 0.0004), a_part("b", 0.3, 0.0004)]

    found = reconcile(a_whole(0.8), parts)

    assert found.pvalue > 0.5
    assert found.reading == "The measured whole agrees with the sum of its parts."


def test_a_whole_far_below_its_parts_is_told_as_such() -> None:
    parts = [a_part("a", 0.9, 0.0004), a_part("b", 0.8, 0.0004)]

    found = reconcile(a_whole(0.3), parts)

    assert found.gap.ci_upper < 0
    assert "less than its parts promised" in found.reading


def test_a_whole_far_above_its_parts_has_something_unmeasured() -> None:
    found = reconcile(a_whole(2.0), [a_part("a", 0.5, 0.0004), a_part("b", 0.4, 0.0004)])

    assert found.gap.ci_lower > 0
    assert "unmeasured" in found.reading


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="no part was shipped"):
        reconcile(a_whole(0.1), [a_part("a", 0.1, is_shipped=False)])
    with pytest.raises(DataError, match="does not vary"):
        reconcile(a_whole(0.1, error=0.0), [a_part("a", 0.1)])
    with pytest.raises(PlanError, match="-5 units"):
        Part(effect=PastEffect("a", 1, 1), n_units=-5)
