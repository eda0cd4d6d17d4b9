"""How much of a comparison something else touched."""

import pytest

from experiments.errors import DataError
from experiments.programme.contamination import Touched, contamination


def test_touches_of_both_sides_alike_are_told_and_not_alarming() -> None:
    found = contamination(
        {"held_out": Touched(1_000, 200, 260), "treated": Touched(9_000, 1_850, 2_400)},
        control="held_out",
        treatment="treated",
    )

    assert found.is_even
    assert found.difference.estimate == pytest.approx(1_850 / 9_000 - 0.2)
    assert found.reading.startswith("Other campaigns reached 20.0% of the control and 20.6%")


def test_unequal_touches_may_be_part_of_the_effect() -> None:
    found = contamination(
        {"held_out": Touched(1_000, 100), "treated": Touched(9_000, 3_000)},
        control="held_out",
        treatment="treated",
    )

    assert not found.is_even
    assert "may be theirs" in found.reading


def test_the_test_is_that_of_two_proportions() -> None:
    from scipy import stats

    found = contamination({"a": Touched(50, 10), "b": Touched(60, 21)}, control="a", treatment="b")

    oracle = stats.ttest_ind([1] * 10 + [0] * 40, [1] * 21 + [0] * 39, equal_var=False)
    assert found.pvalue == pytest.approx(oracle.pvalue, rel=1e-9)


def test_silence_that_was_broken_is_a_leak() -> None:
    sides = {"held_out": Touched(1_000, 3, 3), "treated": Touched(9_000, 8_000)}

    found = contamination(sides, control="held_out", treatment="treated", must_be_silent=True)

    assert found.leaked == 3
    assert found.reading == "3 units that should have heard nothing were reached."


def test_of_the_silence_of_all_campaigns_the_treated_sides_messages_are_no_disturbance() -> None:
    sides = {"held_out": Touched(1_000, 0), "treated": Touched(9_000, 8_640)}

    found = contamination(sides, control="held_out", treatment="treated", must_be_silent=True)

    assert found.reading == "Nobody held out was reached; 96.0% of the others were."


def test_nothing_touched_is_said_in_few_words() -> None:
    found = contamination({"a": Touched(50, 0), "b": Touched(60, 0)}, control="a", treatment="b")

    assert found.reading == "Nothing else reached these units."
    assert found.pvalue is None
    assert found.is_even


def test_impossible_counts_and_missing_variants_are_refused() -> None:
    with pytest.raises(DataError, match="7 of 5"):
        Touched(5, 7)
    with pytest.raises(DataError, match="'b' is not among a"):
        contamination({"a": Touched(5, 1)}, control="a", treatment="b")
