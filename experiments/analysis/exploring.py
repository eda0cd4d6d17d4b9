"""A search for differing effects among the units of an experiment, variant by variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.analysis.plan import ExperimentPlan
from experiments.errors import DataError
from experiments.programme.honest_tree import HonestTree, honest_tree
from experiments.programme.tree_growing import Column
from experiments.sums.unit_sums import UnitRows

if TYPE_CHECKING:
    import numpy as np


def trees(
    plan: ExperimentPlan, rows: UnitRows, *, rng: np.random.Generator
) -> dict[str, HonestTree]:
    """Per variant a tree of the deciding metric's effect, by what `rows` knows of each unit.

    Outcomes are taken as they are: neither capped nor adjusted by covariates.

    Raises:
        DataError: If the deciding metric is no plain number a unit.
    """
    import numpy as np

    metric = plan.deciding
    if metric.kind in ("ratio", "quantile"):
        raise DataError(
            f"a tree divides units by a number each; {metric.name} is a {metric.kind}. Explore a"
            " mean, a proportion or a count"
        )
    (source,) = metric.sources
    outcome = np.asarray(rows.outcomes[source], dtype=float)
    found: dict[str, HonestTree] = {}
    for variant in plan.treatments:
        inside = np.isin(rows.variant, (plan.control, variant))
        columns = [Column(name, values[inside]) for name, values in rows.known.items()]
        treated = rows.variant[inside] == variant
        try:
            found[variant] = honest_tree(
                columns, treated, outcome[inside], rng=rng, alpha=plan.alpha
            )
        except DataError as error:
            found[variant] = HonestTree((), {}, None, 0, 0, str(error))
    return found
