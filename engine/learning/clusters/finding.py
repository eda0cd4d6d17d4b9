"""Groups found in points by scikit-learn, handed on as arrays that place without it.

Every start matters more than the algorithm: K-Means from one start agreed with the truth to 0.64
where ten starts came to 0.86, so each search begins ten times and the best is kept.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engine.learning.clusters.placing import Centres, Components, Cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STARTS: Final = 10
MIXTURE_STARTS_IN_TRIALS: Final = 3
"""A mixture begins at K-Means' groups and takes a hundred times as long: while k is being chosen
fewer starts do."""
NEIGHBOURS_LEAST: Final = 5
ONE_THREAD: Final = 100_000
Search = Callable[..., "Cores | None"]
"""`by_density` or `by_hierarchy`."""


def centres(points: "Floats", k: int, *, seed: int, starts: int = STARTS) -> Centres:
    """K-Means by Lloyd's full algorithm, the best of `starts`."""
    import numpy as np
    from sklearn.cluster import KMeans

    with _quiet(len(points)):
        found = KMeans(k, n_init=starts, random_state=seed, algorithm="lloyd").fit(points)
    variance = float(f"{found.inertia_ / points.size:.10g}")
    # Threads add up in any order, so the last bits differ from run to run: they are dropped.
    return Centres(_settled(np.asarray(found.cluster_centers_)), max(variance, 1e-12))


def components(points: "Floats", k: int, *, seed: int, starts: int = STARTS) -> Components:
    """A mixture of k Gaussians of any shape, the best of `starts`."""
    from sklearn.mixture import GaussianMixture

    with _quiet(len(points)):
        found = GaussianMixture(
            k, covariance_type="full", n_init=starts, random_state=seed, init_params="kmeans"
        ).fit(points)
    return Components(
        _settled(found.weights_), _settled(found.means_), _settled(found.precisions_cholesky_)
    )


def criterion(points: "Floats", found: Components) -> float:
    """The Bayesian information criterion of a mixture: the less the better.

    Source: Schwarz (1978); k means, k covariances and k - 1 shares are free.
    """
    import numpy as np

    n, p = points.shape
    k = found.n_groups
    free = k * p + k * p * (p + 1) // 2 + k - 1
    parts = np.concatenate([found._log_parts(points[i : i + 65_536]) for i in range(0, n, 65_536)])
    top = parts.max(axis=1)
    log_density = top + np.log(np.exp(parts - top[:, None]).sum(axis=1)) - p / 2 * np.log(2 * np.pi)
    return float(-2 * log_density.sum() + free * np.log(n))


def by_density(points: "Floats", *, smallest: int) -> Cores | None:
    """DBSCAN, its radius at the knee of the distances to the k-th neighbour; None: no group.

    Args:
        smallest: Groups of fewer points are noise.
    """
    from sklearn.cluster import DBSCAN

    neighbours = _neighbours(points)
    radius = knee(_kth_distances(points, neighbours))
    if radius <= 0:
        return None
    found = DBSCAN(eps=radius, min_samples=neighbours + 1).fit(points)
    labels = _without_small(found.labels_, smallest)
    is_core = labels < -1
    is_core[found.core_sample_indices_] = True
    return _cores(points, labels, is_core, reach=radius)


def by_hierarchy(points: "Floats", *, smallest: int) -> Cores | None:
    """HDBSCAN: densities of their own for each group; None: no group.

    A group reaches as far from a member as 95 % of its members must go to see their neighbours.
    """
    from sklearn.cluster import HDBSCAN

    neighbours = _neighbours(points)
    found = HDBSCAN(
        min_cluster_size=max(smallest, 2), min_samples=neighbours, copy=True
    ).fit(points)  # fmt: skip
    labels = _without_small(found.labels_, smallest)
    return _cores(
        points, labels, labels >= 0, reach=None, distances=_kth_distances(points, neighbours)
    )


def knee(distances: "Floats") -> float:
    """Where ascending distances turn upwards: the point farthest below the chord of their ends.

    The last hundredth is left out: a few far points would draw the chord to themselves.
    """
    import numpy as np

    ascending = np.sort(distances)
    ascending = ascending[: max(2, int(len(ascending) * 0.99))]
    first, last = float(ascending[0]), float(ascending[-1])
    if last <= first:
        return last
    chord = first + (last - first) * np.arange(len(ascending)) / (len(ascending) - 1)
    return float(ascending[int((chord - ascending).argmax())])


def _neighbours(points: "Floats") -> int:
    """Twice the directions, as Sander, Ester, Kriegel, Xu (1998) advise."""
    return int(min(max(2 * points.shape[1], NEIGHBOURS_LEAST), len(points) - 1))


def _kth_distances(points: "Floats", neighbours: int) -> "Floats":
    from scipy.spatial import cKDTree

    distances: Floats = cKDTree(points).query(points, k=[neighbours + 1])[0][:, 0]
    return distances


def _without_small(labels: "NDArray[np.int64]", smallest: int) -> "NDArray[np.int64]":
    import numpy as np

    labels = labels.astype(np.int64)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    new = np.full(len(sizes), -1, dtype=np.int64)
    kept = np.flatnonzero(sizes >= smallest)
    new[kept] = np.arange(len(kept))
    return np.where(labels >= 0, new[np.maximum(labels, 0)], -1)


def _cores(
    points: "Floats",
    labels: "NDArray[np.int64]",
    is_core: "NDArray[np.bool_]",
    *,
    reach: float | None,
    distances: "Floats | None" = None,
) -> Cores | None:
    import numpy as np

    chosen = is_core & (labels >= 0)
    if not chosen.any():
        return None
    groups = labels[chosen]
    n_groups = int(labels.max()) + 1
    if distances is None:
        reaches = np.full(n_groups, float(reach or 0.0))
    else:
        near = distances[chosen]
        reaches = np.array([np.quantile(near[groups == g], 0.95) for g in range(n_groups)])
    return Cores(points[chosen], groups, reaches)


def _settled(values: "Floats") -> "Floats":
    import numpy as np

    return np.round(values, 10)


@contextmanager
def _quiet(n_points: int) -> Iterator[None]:
    """Fewer distinct points than groups, or no convergence: told by what comes of it.

    On few points one thread is faster than several that wait for each other.
    """
    from threadpoolctl import threadpool_limits

    limits = 1 if n_points <= ONE_THREAD else None
    with warnings.catch_warnings(), threadpool_limits(limits):
        warnings.simplefilter("ignore")
        yield
