"""The search for groups, one way an algorithm, each judged before it is handed on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from campaigns.models import ClusterModel
from engine.learning.clusters import choosing, finding
from engine.learning.clusters.cells import ranked as ranked_cells
from engine.learning.clusters.choosing import Trial
from engine.learning.clusters.judging import agreement, silhouettes
from engine.learning.clusters.placing import Components, Cores, Placing, place
from engine.learning.clusters.preparing import Preparation
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GROUP_LEAST: Final = 10
"""People without whom a group is an anecdote, whatever share of all they are."""
JUDGED: Final = 10_000
"""People on whom the number of groups is chosen."""
MIXED: Final = 50_000
"""People whom the final mixture is fitted to."""
DENSE: Final = 20_000
"""People among whom densities are looked for: the time grows with their square."""
OUTSIDE_MOST: Final = 0.5
SUBSAMPLE: Final = 0.8


@dataclass(frozen=True, eq=False)
class People:
    """What groups are looked for in; rows by id."""

    matrix: Matrix
    preparation: Preparation
    scaled: "Floats"
    points: "Floats"


def partition(
    given: People, model: ClusterModel, *, rng: "np.random.Generator"
) -> tuple[Placing, list[Trial]]:
    """K-Means or a mixture with the best number of groups that holds."""
    n = len(given.points)
    low, high = model.k
    ks = range(max(low, 2), min(high, n // GROUP_LEAST) + 1)
    chosen_from = choosing.stratified(given.points, JUDGED, rng=rng)
    sample = given.points[chosen_from]
    seed, *seeds = (int(it) for it in rng.integers(0, 2**31, choosing.REPEATS + 1))
    is_mixture = model.algorithm == "gmm"
    find = _mixture_in_trials if is_mixture else _kmeans
    trials = choosing.first_look(
        sample,
        ks,
        find,
        seed=seed,
        smallest_least=_smallest_share(model, n),
        criterion=_criterion if is_mixture else None,
    )
    # Who asks for one number of groups asks for a cut, and need not be told that it is one.
    clouds = None
    if low < high:
        clouds = choosing.clouds_of(given.scaled[chosen_from], given.preparation.points, rng=rng)
    done = {it.k: it for it in trials}
    for trial in choosing.best_first(trials):
        judged = choosing.judged(
            trial,
            sample,
            find,
            seeds=seeds,
            min_stability=model.min_stability,
            clouds=None if clouds is None else iter(clouds),
            rng=rng,
        )
        done[trial.k] = judged
        if judged.why:
            continue
        placing = _final(given.points, trial.k, is_mixture=is_mixture, seed=seed, rng=rng)
        share = _smallest(placing, given.points)
        if share < _smallest_share(model, n):
            why = f"among all, its smallest group holds {share:.1%} of the people"
            done[trial.k] = replace(judged, why=why)
            continue
        return placing, list(_skipped(done.values(), trial.k))
    raise _refused(list(done.values()), model)


def _kmeans(points: "Floats", k: int, seed: int) -> Placing:
    return finding.centres(points, k, seed=seed)


def _mixture_in_trials(points: "Floats", k: int, seed: int) -> Placing:
    return finding.components(points, k, seed=seed, starts=finding.MIXTURE_STARTS_IN_TRIALS)


def _criterion(points: "Floats", placing: Placing) -> float:
    assert isinstance(placing, Components)
    return finding.criterion(points, placing)


def _final(
    points: "Floats", k: int, *, is_mixture: bool, seed: int, rng: "np.random.Generator"
) -> Placing:
    """On everybody; a mixture on MIXED of them, which is as good and takes a tenth."""
    if not is_mixture:
        return finding.centres(points, k, seed=seed)
    return finding.components(points[choosing.stratified(points, MIXED, rng=rng)], k, seed=seed)


def _smallest(placing: Placing, points: "Floats") -> float:
    import numpy as np

    places, _ = place(placing, points)
    return float(np.bincount(places, minlength=placing.n_groups).min()) / len(points)


def _smallest_share(model: ClusterModel, n: int) -> float:
    return max(model.min_share, GROUP_LEAST / n)


def _skipped(trials: Iterable[Trial], chosen: int) -> Iterator[Trial]:
    for trial in trials:
        is_open = not trial.why and trial.k != chosen
        yield replace(trial, why=choosing.NOT_NEEDED) if is_open else trial


def dense(
    given: People, model: ClusterModel, *, rng: "np.random.Generator"
) -> tuple[Placing, list[Trial]]:
    """Groups by density, found in a sample; their number is what it is."""
    import numpy as np

    sample = given.points[choosing.stratified(given.points, DENSE, rng=rng)]
    search = finding.by_density if model.algorithm == "dbscan" else finding.by_hierarchy
    share = _smallest_share(model, len(given.points))
    find = partial(_densities, search, share)
    placing = find(sample)
    if placing is None:
        raise Refused(
            f"{model.algorithm} finds no group in which people lie close together",
            "Take other features, or algorithm: kmeans",
        )
    places, _ = place(placing, sample)
    judged_on = choosing.stratified(sample, JUDGED, rng=rng)
    points, own = sample[judged_on], places[judged_on]
    agreed = []
    for _ in range(choosing.REPEATS):
        part = np.sort(rng.choice(len(points), int(len(points) * SUBSAMPLE), replace=False))
        again = find(points[part])
        if again is None:
            agreed.append(np.full(len(points), -1, dtype=np.int64))
        else:
            agreed.append(place(again, points)[0])
    sizes = np.bincount(places[places >= 0], minlength=placing.n_groups)
    trial = Trial(
        placing.n_groups,
        silhouettes(points, [own])[0],
        float(sizes.min()) / len(sample),
        seeds=1.0,
        bootstraps=agreement(agreed),
    )
    trial = replace(trial, why=_density_refused(trial, float((places < 0).mean()), model))
    if trial.why:
        raise _refused([trial], model)
    return placing, [trial]


def _densities(
    search: "finding.Search", share: float, points: "Floats"
) -> Cores | None:  # fmt: skip
    return search(points, smallest=max(GROUP_LEAST, int(share * len(points))))


def ranked(given: People, *, rng: "np.random.Generator") -> tuple[Placing, list[Trial]]:
    """RFM cells. Whether other people would draw the same lines is shown and refuses nothing: the
    cells are a fixed rule, and nothing was searched for that chance could have found.
    """
    import numpy as np

    placing = ranked_cells(given.points)
    judged_on = choosing.stratified(given.scaled, JUDGED, rng=rng)
    points = given.points[judged_on]
    places, _ = placing.place(points)
    again = [
        ranked_cells(points[rng.integers(0, len(points), len(points))]).place(points)[0]
        for _ in range(choosing.REPEATS)
    ]
    sizes = np.bincount(places)
    trial = Trial(
        int(np.count_nonzero(sizes)),
        silhouettes(given.scaled[judged_on], [places])[0],
        float(sizes[sizes > 0].min()) / len(places),
        seeds=1.0,
        bootstraps=agreement(again),
    )
    return placing, [trial]


def _density_refused(trial: Trial, outside: float, model: ClusterModel) -> str:
    low, high = model.k
    if not low <= trial.k <= high:
        return f"{model.algorithm} finds {trial.k}, and {low} to {high} are asked for"
    if outside > OUTSIDE_MOST:
        return f"{outside:.0%} of the people lie in no group"
    if trial.bootstraps < model.min_stability:
        return _parts_disagree(trial, model)
    return ""


def _parts_disagree(trial: Trial, model: ClusterModel) -> str:
    return (
        f"groups found in parts of the people agree to {trial.bootstraps:.2f}, "
        f"{model.min_stability:.2f} is needed"
    )


def _refused(trials: Sequence[Trial], model: ClusterModel) -> Refused:
    if not trials:
        low, high = model.k
        return Refused(
            f"{low} to {high} groups are asked for, of {GROUP_LEAST} people at least, and there "
            "are too few people",
            "Ask for fewer groups",
        )
    told = "; ".join(f"{it.k} groups: {it.why}" for it in sorted(trials, key=lambda it: it.k))
    return Refused(
        f"no number of groups holds. {told}",
        "Add features that tell people apart, ask for other numbers with `k`, or lower "
        "`min_stability` or `min_share` if rougher groups serve",
    )
