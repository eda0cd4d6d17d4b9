"""Numbers and labels that stay with a group from run to run, and are never given twice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.learning.clusters.describing import Group, slug
from engine.learning.clusters.found import Clusters
from engine.learning.clusters.matching import matched
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def named(
    groups: Sequence[Group],
    places: "NDArray[np.int64]",
    *,
    matrix: Matrix,
    before: Clusters | None,
) -> tuple[list[Group], dict[int, str]]:
    """Groups with numbers and labels: those of before where one goes on, new ones elsewhere.

    Args:
        groups: By place, with titles.
        places: Of the people whose rows `matrix` holds.
    Returns:
        The groups in the same order, and the labels of all that are no more, by number.
    """
    known: list[int | None] = [None] * len(groups)
    labels: dict[int, str] = {}
    past: dict[int, str] = {}
    if before is not None:
        labels = {group.id: group.label for group in before.groups}
        past = dict(before.past)
        try:
            was_scaled = before.preparation.scaled(matrix)
        except Refused:
            pass  # other features: no group of then can be found again
        else:
            now = means(was_scaled, places, len(groups))
            known = matched(before.centres, now, list(labels))
    ever = {**past, **labels}
    following = max(ever, default=0) + 1
    out = list(groups)
    # New numbers by size, so that they do not hang on how a library numbered the groups.
    for i in sorted(range(len(groups)), key=lambda i: (-groups[i].n, groups[i].title)):
        number = known[i]
        if number is None:
            number, following = following, following + 1
            ever[number] = slug(groups[i].title, list(ever.values()))
        out[i] = replace(groups[i], id=number, label=ever[number])
    living = {group.id for group in out}
    return out, {number: label for number, label in ever.items() if number not in living}


def named_cells(
    groups: Sequence[Group], before: Clusters | None
) -> tuple[list[Group], dict[int, str]]:
    """The same for cells, which are known by their names."""
    ever = {} if before is None else {**before.past, **{it.id: it.label for it in before.groups}}
    number_of = {label: number for number, label in ever.items()}
    out = []
    for group in groups:
        label = slug(group.title, ())
        number = number_of.setdefault(label, max(number_of.values(), default=0) + 1)
        out.append(replace(group, id=number, label=label))
    living = {group.id for group in out}
    return out, {number: label for number, label in ever.items() if number not in living}


def means(scaled: "Floats", places: "NDArray[np.int64]", n_groups: int) -> "Floats":
    """The mean of each group's rows; shape (n_groups, d)."""
    import numpy as np

    # An empty cell stands where everybody does.
    everybody = scaled.mean(axis=0)
    members = [scaled[places == g] for g in range(n_groups)]
    return np.array([it.mean(axis=0) if len(it) else everybody for it in members])
