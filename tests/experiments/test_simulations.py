"""Every simulated promise, short; ANTIPHON_TEST_SCALE=10 makes the runs ten times as many."""

import pytest

from tests.experiments.simulation import Measured, Simulation
from tests.experiments.simulations import SEED, simulations, table


@pytest.mark.parametrize("simulation", simulations(), ids=lambda each: f"{each.area}: {each.what}")
def test_what_is_promised_is_what_happens(simulation):
    found = simulation.measured(seed=SEED)

    assert found.holds, f"{found.share:.2%}, promised {found.promise}"


def test_a_share_beyond_its_bounds_is_told_apart_from_chance():
    promised = Simulation("x", "y", 0.0, 0.05, 1_000, lambda rng, runs: 0.0)

    assert Measured(promised, 1_000, 0.06).holds
    assert not Measured(promised, 1_000, 0.08).holds
    assert not Measured(promised, 100_000, 0.06).holds


def test_the_table_names_promise_runs_and_share():
    promised = Simulation("sequential", "A/A", 0.0, 0.05, 10, lambda rng, runs: 0.02)
    broken = Simulation("fixed", "peeking", 0.2, 1, 10, lambda rng, runs: 0.3, is_shortcut=True)

    lines = table([Measured(promised, 10, 0.02), Measured(broken, 10, 0.3)]).splitlines()

    assert lines[2] == "| sequential | A/A | at most 5.0% | 10 | 2.00% |"
    assert lines[3] == "| fixed | *shortcut: peeking* | breaks | 10 | 30.00% |"
