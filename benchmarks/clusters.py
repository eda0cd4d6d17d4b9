"""Groups among a million people, beside scikit-learn's own K-Means on the same points.

    python -m benchmarks.clusters [PEOPLE]

Measured in turns, by the wall and by processor time: K-Means with ten starts, ours as `fit` runs it
against `KMeans(n_init=10).fit` (wanted: 1.10 at most). Beside it the whole `fit`, with scaling,
components, the choice of k on a sample, clouds, names and figures; and `assign` from arrays against
`KMeans.predict`. Memory is the most that this process ever held.
"""

import os
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from time import perf_counter, process_time

import numpy as np
import sklearn
from sklearn.cluster import KMeans

from campaigns.models import ClusterModel
from engine.learning.clusters import finding, fit, placing
from engine.learning.clusters.preparing import prepare
from engine.learning.matrix import Matrix

PEOPLE = 1_000_000
K = 5
TURNS = 3
WANTED = 1.10
MEGABYTES_MOST = 2_048


def people(n: int) -> Matrix:
    """Eight columns of a shop: five kinds of customers, skewed money and counts."""
    rng = np.random.default_rng(1)
    kind = rng.choice(K, n, p=(0.4, 0.25, 0.15, 0.12, 0.08))
    scale = np.exp(rng.normal(0, 1.2, (K, 8)))
    values = scale[kind] * rng.gamma(4.0, 5.0, (n, 8))
    names = ("recency_days", "frequency", "monetary", "tenure_days", "n_sessions",
             "interaction_recency_days", "n_sent", "session_minutes")  # fmt: skip
    return Matrix(np.arange(n), names, values)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the wall and by processor."""
    wall, own = perf_counter(), process_time()
    work()
    return perf_counter() - wall, process_time() - own


def megabytes() -> float:
    """The most this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print everything."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE
    print(
        f"{platform.platform()}, CPython {platform.python_version()}, scikit-learn "
        f"{sklearn.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    matrix = people(n)
    model = ClusterModel("shoppers", k=(2, 10))
    clusters = None

    def whole() -> None:
        nonlocal clusters
        clusters = fit(matrix, model, rng=np.random.default_rng(1))

    wall, own = timed(whole)
    assert clusters is not None
    print(
        f"{n:,} x {matrix.values.shape[1]}: whole fit, k of 2 to 10: {len(clusters.groups)} groups "
        f"in {wall:.1f} s ({own:.1f} s of processor), {megabytes():,.0f} MB at most "
        f"(wanted {MEGABYTES_MOST:,})"
    )
    preparation, _ = prepare(matrix)
    points = preparation.points(preparation.scaled(matrix))
    theirs = KMeans(K, n_init=10, random_state=1)
    turns = []
    for _ in range(TURNS):
        ours = timed(lambda: finding.centres(points, K, seed=1))
        turns.append((ours, timed(lambda: theirs.fit(points))))
    for i, what in enumerate(("wall", "processor")):
        ratio = statistics.median(mine[i] / other[i] for mine, other in turns)
        mine = statistics.median(mine[i] for mine, _ in turns)
        print(
            f"K-Means, ten starts, by {what}: {mine:.1f} s, {ratio:.2f} of scikit-learn's own "
            f"(wanted {WANTED:.2f} at most)"
        )
    found = finding.centres(points, K, seed=1)
    mine = timed(lambda: placing.place(found, points))[1]
    other = timed(lambda: theirs.predict(points))[1]
    same = float((placing.place(found, points)[0] == theirs.predict(points)).mean())
    print(
        f"placing with confidence: {n / mine / 1e6:.1f}M people a second of processor, predict "
        f"without it {n / other / 1e6:.1f}M; the same group for {same:.4%}"
    )


if __name__ == "__main__":
    main()
