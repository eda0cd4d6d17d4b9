"""A bandit's weights by quadrature, beside 100,000 random draws for each arm, in one run.

    python -m benchmarks.bandits [UNITS]

Draws are what bandit services commonly take: for each the best arm is counted. Their weights differ
from run to run by about 0.15 points; quadrature's agree with the exact integral to 1e-9. Timed in
turns, by processor time. Beside it: a log of UNITS decisions (default 1,000,000) as columns, summed
into cohorts and read in both ways.
"""

import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from time import process_time

import numpy as np

from experiments.bandits.batched import batched_estimates
from experiments.bandits.beliefs import BetaBelief, NormalBelief, p_best
from experiments.bandits.columns import cohorts_of_columns
from experiments.bandits.weighted import weighted_estimates

DRAWS = 100_000
TURNS = 7
WANTED = 5.0
ARMS = ("control", "b", "c", "d", "e")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run, the least of three."""
    found = []
    for _ in range(3):
        began = process_time()
        work()
        found.append(process_time() - began)
    return min(found)


def by_draws(means: np.ndarray, spreads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shares of draws in which each arm is the best."""
    drawn = rng.normal(means, spreads, (DRAWS, len(means)))
    return np.bincount(drawn.argmax(axis=1), minlength=len(means)) / DRAWS


def by_beta_draws(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same of rates."""
    drawn = rng.beta(a, b, (DRAWS, len(a)))
    return np.bincount(drawn.argmax(axis=1), minlength=len(a)) / DRAWS


def weights(n_arms: int, rng: np.random.Generator) -> None:
    """Print both ways for one number of arms."""
    means, spreads = rng.normal(0, 1, n_arms), rng.uniform(0.2, 2, n_arms)
    normals = [NormalBelief(m, s * s) for m, s in zip(means, spreads, strict=True)]
    n, k = 2_000, rng.integers(80, 120, n_arms)
    betas = [BetaBelief.of_counts(int(it), n) for it in k]
    ways: list[tuple[str, Callable[[], Sequence[float]], Callable[[], np.ndarray]]] = [
        ("normal", lambda: p_best(normals), lambda: by_draws(means, spreads, rng)),
        ("beta", lambda: p_best(betas), lambda: by_beta_draws(1.0 + k, 1.0 + n - k, rng)),
    ]
    for name, ours, theirs in ways:
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(TURNS)]
        ratio = statistics.median(draws / own for own, draws in pairs)
        own = statistics.median(own for own, _ in pairs)
        gap = float(np.abs(np.array(ours()) - theirs()).max())
        print(
            f"{n_arms:>4} arms, {name:<6}: {own * 1e3:7.2f} ms by quadrature, {ratio:6.1f}x the"
            f" speed of {DRAWS:,} draws (wanted {WANTED:g}x up to 10 arms), which are off by"
            f" {gap:.4f}"
        )


def log(n: int, rng: np.random.Generator) -> None:
    """Print what reading a log of n decisions takes."""
    period = np.sort(rng.integers(0, 60, n))
    vectors = {
        v: dict(zip(ARMS, (rng.dirichlet((2,) * 5) * 0.75 + 0.05).tolist(), strict=True))
        for v in range(60)
    }
    shares = np.array([[vectors[v][arm] for arm in ARMS] for v in range(60)]).cumsum(axis=1)
    chosen = (rng.random(n)[:, None] > shares[period]).sum(axis=1).clip(max=4)
    outcomes = rng.random(n) < 0.1
    began = process_time()
    cohorts = cohorts_of_columns(
        arms=ARMS, chosen=chosen, version=period, period=period, outcomes=outcomes, vectors=vectors
    )
    summed = process_time() - began
    began = process_time()
    for arm in ARMS[1:]:
        weighted_estimates(cohorts, control="control", treatment=arm)
        batched_estimates(cohorts, control="control", treatment=arm)
    read = process_time() - began
    print(
        f"{n:,} decisions, 60 versions, 5 arms: {n / summed / 1e6:.1f}M decisions/s into cohorts;"
        f" 8 comparisons in {read * 1e3:.0f} ms"
    )


def main() -> None:
    """Print everything."""
    rng = np.random.default_rng(1)
    print(f"{platform.platform()}, CPython {platform.python_version()}, numpy {np.__version__}")
    for n_arms in (2, 3, 5, 10, 50):
        weights(n_arms, rng)
    log(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, rng)


if __name__ == "__main__":
    main()
