"""Which number of groups is looked for: judged on a fixed sample by four questions.

Are people nearer to their own group than to others (silhouette; for mixtures the BIC too)? Do other
starts and other samples find the same groups (adjusted Rand index)? Is each large enough to be
worth a campaign? And are they told apart better than parts of one cloud without groups would be?
The numbers that pass are tried best first, so the costly questions are only asked as far as needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING, Any, Final

from engine.learning.clusters.clouds import cloud
from engine.learning.clusters.judging import agreement, silhouettes
from engine.learning.clusters.placing import Placing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

Find = Callable[["Floats", int, int], Placing]
"""Groups in points: how many, and from which seed."""
Criterion = Callable[["Floats", Placing], float]

REPEATS: Final = 5
"""Other starts, and other samples, that must agree."""
CLOUDS: Final = 3
MARGIN: Final = 0.01
"""What a silhouette must be above that of a cloud at least: clouds differ by less."""
SPREAD_OF_ONE: Final = 0.2
"""How far single people's silhouettes commonly lie apart: among few people the mean wavers too."""
NOT_NEEDED: Final = "not needed: a better number of groups held"


@dataclass(frozen=True)
class Trial:
    """One number of groups. NaN is what was not looked at.

    Attributes:
        silhouette: Mean over the sample, -1 to 1.
        seeds, bootstraps: Mean adjusted Rand index between groups found from other starts, and in
            resampled people.
        smallest: The share of people in the smallest group.
        bic: Of a mixture.
        cloud: The silhouette that one cloud without groups would reach by chance.
        why: Why it was refused, or not looked into; "" for the one that was chosen.
    """

    k: int
    silhouette: float
    smallest: float
    seeds: float = nan
    bootstraps: float = nan
    bic: float = nan
    cloud: float = nan
    why: str = ""

    @property
    def stability(self) -> float:
        """The lesser of the two agreements."""
        return min(self.seeds, self.bootstraps)

    @property
    def is_open(self) -> bool:
        """It was never refused: another number came first."""
        return self.why == NOT_NEEDED

    def plain(self) -> dict[str, Any]:
        """As JSON: None for NaN."""
        given = self.__dict__
        return {
            key: None if isinstance(value, float) and isnan(value) else value
            for key, value in given.items()
        }

    @classmethod
    def of(cls, plain: "dict[str, Any]") -> "Trial":
        """What `plain` made."""
        filled: dict[str, Any] = {k: nan if it is None else it for k, it in plain.items()}
        return cls(**filled)


def stratified(points: "Floats", n: int, *, rng: "np.random.Generator") -> "Places":
    """n places, ascending: one out of each of n equal strata along the first component.

    All of them, where there are no more.
    """
    import numpy as np

    if len(points) <= n:
        return np.arange(len(points))
    order = np.argsort(points[:, 0], kind="stable")
    edges = np.linspace(0, len(points), n + 1).astype(np.int64)
    drawn = edges[:-1] + (rng.random(n) * np.diff(edges)).astype(np.int64)
    return np.sort(order[drawn])


def first_look(
    points: "Floats",
    ks: Sequence[int],
    find: Find,
    *,
    seed: int,
    smallest_least: float,
    criterion: Criterion | None = None,
) -> list[Trial]:
    """Every number of groups by its silhouette, sizes and BIC; ascending."""
    import numpy as np

    n_distinct = len(np.unique(points, axis=0))
    found = [find(points, k, seed) if k <= n_distinct else None for k in ks]
    labelled = [None if it is None else it.place(points)[0] for it in found]
    values = iter(silhouettes(points, [it for it in labelled if it is not None]))
    trials = []
    for k, placing, places in zip(ks, found, labelled, strict=True):
        if placing is None or places is None:
            trials.append(Trial(k, nan, nan, why=f"there are only {n_distinct} different people"))
            continue
        sizes = np.bincount(places, minlength=k)
        share = float(sizes.min()) / len(points)
        bic = criterion(points, placing) if criterion is not None else nan
        trial = Trial(k, next(values), share, bic=bic)
        trials.append(replace(trial, why=_too_small(share, smallest_least)))
    return trials


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Those not refused yet: by silhouette; where there is a BIC, by the mean of both ranks."""
    open_ = [it for it in trials if not it.why]
    by_silhouette = sorted(open_, key=lambda it: (-it.silhouette, it.k))
    if any(isnan(it.bic) for it in open_):
        return by_silhouette
    by_bic = sorted(open_, key=lambda it: (it.bic, it.k))
    return sorted(
        open_, key=lambda it: (by_silhouette.index(it) + by_bic.index(it), by_bic.index(it))
    )


def judged(
    trial: Trial,
    points: "Floats",
    find: Find,
    *,
    seeds: Sequence[int],
    min_stability: float,
    clouds: "Iterator[Floats] | None",
    rng: "np.random.Generator",
) -> Trial:
    """The trial with its costly questions answered; `why` says what it failed.

    Args:
        seeds: REPEATS of them.
        clouds: Points of clouds without groups to be better than; None: one need not be.
    """
    starts = [find(points, trial.k, seed).place(points)[0] for seed in seeds]
    trial = replace(trial, seeds=agreement(starts))
    resampled = []
    for seed in seeds:
        drawn = rng.integers(0, len(points), len(points))
        resampled.append(find(points[drawn], trial.k, seed).place(points)[0])
    trial = replace(trial, bootstraps=agreement(resampled))
    if trial.stability < min_stability:
        return replace(trial, why=_unstable(trial, min_stability))
    if clouds is None:
        return trial
    trial = replace(trial, cloud=_best_of_clouds(clouds, find, trial.k, seeds[0]))
    if trial.silhouette < trial.cloud:
        return replace(trial, why=_cloudy(trial))
    return trial


def clouds_of(
    scaled: "Floats", points_of: "Callable[[Floats], Floats]", *, rng: "np.random.Generator"
) -> "list[Floats]":
    """CLOUDS clouds like the scaled columns, as points."""
    return [points_of(cloud(scaled, rng=rng)) for _ in range(CLOUDS)]


def _best_of_clouds(clouds: "Iterator[Floats]", find: Find, k: int, seed: int) -> float:
    """What chance reaches: the mean and three deviations, of clouds or of the silhouette itself."""
    import numpy as np

    reached = []
    for points in clouds:
        places = find(points, k, seed).place(points)[0]
        reached.append(silhouettes(points, [places])[0])
    spread = max(float(np.std(reached, ddof=1)), SPREAD_OF_ONE / float(np.sqrt(len(points))))
    return float(np.mean(reached)) + max(3 * spread, MARGIN)


def _too_small(share: float, least: float) -> str:
    if share >= least:
        return ""
    return f"its smallest group holds {share:.1%} of the people, {least:.1%} are needed"


def _unstable(trial: Trial, least: float) -> str:
    return (
        f"other starts agree to {trial.seeds:.2f} and other samples to {trial.bootstraps:.2f}, "
        f"{least:.2f} is needed"
    )


def _cloudy(trial: Trial) -> str:
    return (
        f"its silhouette {trial.silhouette:.2f} is no better than parts of one cloud without "
        f"groups ({trial.cloud:.2f})"
    )
