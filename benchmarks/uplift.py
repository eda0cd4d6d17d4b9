"""Targeting, its Qini interval, contextual chances and a tree of effects, timed in one run.

    python -m benchmarks.uplift [UNITS]

The Qini interval's bootstrap is timed beside scikit-uplift's curve, redrawn as often: the same
numbers from the same resampled units. Everything else is units a second. UNITS (default 200,000)
with 20 features, by processor time.
"""

import platform
import sys
import warnings
from collections.abc import Callable
from time import process_time

import numpy as np

from experiments.bandits.contextual import LinearPolicy, LinearSums, learnt_version
from experiments.programme.honest_tree import honest_tree
from experiments.programme.tree_growing import Column
from experiments.uplift.qini import qini
from experiments.uplift.targeting import target
from experiments.uplift.units import Units
from experiments.uplift.values import Terms

DRAWS = 20
WANTED = 1.0


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    began = process_time()
    work()
    return process_time() - began


def some_units(n: int, rng: np.random.Generator) -> Units:
    """Twenty features, of which the second says whom a message helps."""
    features = rng.normal(0, 1, (n, 20))
    treated = rng.random(n) < 0.5
    rate = 0.1 + 0.05 * (features[:, 0] > 0) + treated * 0.05 * (features[:, 1] > 0)
    return Units.of(features, treated, (rng.random(n) < rate).astype(float), 0.5)


def curves(units: Units, scores: np.ndarray, rng: np.random.Generator) -> None:
    """Print the bootstrap of the Qini curve beside scikit-uplift's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklift.metrics import qini_curve

        w = units.treated.astype(int)

        def theirs() -> None:
            for _ in range(DRAWS):
                rows = rng.integers(units.n, size=units.n)
                qini_curve(units.outcome[rows], scores[rows], w[rows])

        pairs = [
            (seconds(lambda: qini(units, scores, rng=rng, draws=DRAWS)), seconds(theirs))
            for _ in range(3)
        ]
    ratio = float(np.median([other / own for own, other in pairs]))
    own = float(np.median([own for own, _ in pairs]))
    print(
        f"Qini with {DRAWS} draws of {units.n:,} units: {own:.2f} s, {ratio:.1f}x the speed of"
        f" scikit-uplift's curve redrawn (wanted {WANTED:g}x)"
    )


def main() -> None:
    """Print everything."""
    rng = np.random.default_rng(1)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print(f"{platform.platform()}, CPython {platform.python_version()}, numpy {np.__version__}")
    units = some_units(n, rng)
    curves(units, units.features[:, 1] + rng.normal(0, 1, n), rng)
    for base in ("linear", "boosting"):
        spent = seconds(
            lambda base=base: target(  # type: ignore[misc]
                units, rng=rng, terms=Terms(budget=0.5), base=base, draws=DRAWS
            )
        )
        print(f"target, {base}: {n:,} units x 20 in {spent:.1f} s, {n / spent:,.0f} a second")
    columns = [Column(f"f{i}", units.features[:, i]) for i in range(20)]
    spent = seconds(lambda: honest_tree(columns, units.treated, units.outcome, rng=rng))
    print(f"honest tree: {n:,} units x 20 in {spent:.1f} s, {n / spent:,.0f} a second")
    contexts = rng.normal(0, 1, (10_000, 10))
    sums = LinearSums.empty(n_arms=5, n_features=10).add(
        contexts, rng.integers(0, 5, 10_000), rng.random(10_000)
    )
    version = learnt_version(sums, LinearPolicy(), rng=rng)
    spent = seconds(lambda: version.chances(contexts))
    print(f"LinTS chances: 10,000 contexts x 5 arms by 256 draws in {spent:.2f} s")


if __name__ == "__main__":
    main()
