"""Find groups among people, or say why there are none worth publishing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from campaigns.models import ClusterModel
from engine.learning.clusters.cells import bought, cell_names
from engine.learning.clusters.choosing import Trial
from engine.learning.clusters.describing import described, titled
from engine.learning.clusters.found import Clusters
from engine.learning.clusters.naming import means, named, named_cells
from engine.learning.clusters.placing import Placing, place
from engine.learning.clusters.preparing import prepare
from engine.learning.clusters.searching import People, dense, partition, ranked
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np

PEOPLE_LEAST: Final = 50


def fit(
    matrix: Matrix,
    model: ClusterModel,
    *,
    rng: "np.random.Generator",
    before: Clusters | None = None,
) -> Clusters:
    """The groups that a model finds; the same for the same people, in whatever order they come.

    Args:
        before: The groups of the run before, whose numbers and labels go on.
    Raises:
        Refused: If there are too few people, nothing tells them apart, or no number of groups is
            stable, large enough and better than chance; `why` has the figures.
    """
    matrix = _by_id(matrix)
    n = len(matrix.ids)
    if n < PEOPLE_LEAST:
        people = "nobody is" if n == 0 else "1 person is" if n == 1 else f"{n:,} people are"
        raise Refused(
            f"{people} known well enough, and groups need {PEOPLE_LEAST} at least",
            "Wait until there are more, or widen `among`",
        )
    preparation, notes = prepare(matrix)
    scaled = preparation.scaled(matrix)
    given = People(matrix, preparation, scaled, preparation.points(scaled))
    if model.algorithm == "rfm":
        given = replace(given, points=bought(matrix))
        placing, trials = ranked(given, rng=rng)
    elif model.algorithm in ("dbscan", "hdbscan"):
        placing, trials = dense(given, model, rng=rng)
    else:
        placing, trials = partition(given, model, rng=rng)
    return _clusters(given, model, placing, trials, notes, before)


def _clusters(
    given: People,
    model: ClusterModel,
    placing: Placing,
    trials: Sequence[Trial],
    notes: tuple[str, ...],
    before: Clusters | None,
) -> Clusters:
    import numpy as np

    places, _ = place(placing, given.points)
    groups = described(
        places,
        values=given.matrix.values,
        names=given.matrix.names,
        scaled=given.scaled,
        scaled_names=given.preparation.names,
        n_groups=placing.n_groups,
    )
    if model.algorithm == "rfm":
        called = zip(groups, cell_names(), strict=True)
        kept, past = named_cells([replace(it, title=name) for it, name in called], before)
    else:
        kept, past = named(titled(groups), places, matrix=given.matrix, before=before)
    return Clusters(
        model=model.name,
        algorithm=model.algorithm,
        preparation=given.preparation,
        placing=placing,
        groups=tuple(kept),
        centres=means(given.scaled, places, placing.n_groups),
        trials=tuple(sorted(trials, key=lambda it: it.k)),
        n=len(places),
        n_outside=int(np.count_nonzero(places < 0)),
        past=past,
        notes=notes,
    )


def _by_id(matrix: Matrix) -> Matrix:
    import numpy as np

    if len(set(matrix.names)) != len(matrix.names):
        raise ValueError("a feature stands in the matrix twice")
    order = np.argsort(matrix.ids, kind="stable")
    if bool((order[1:] > order[:-1]).all()):
        return matrix
    return Matrix(matrix.ids[order], matrix.names, matrix.values[order])
