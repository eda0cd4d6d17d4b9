"""Which sums some metrics need: the columns of their Aggregates, and only the pairs that are used.

An outcome meets its own covariates and nothing else: five metrics with five shared covariates need
55 sums rather than a full matrix each. A covariate with gaps brings its indicator along.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from experiments.metrics import Metric
from experiments.sums.unit_sums import missing_column


@dataclass(frozen=True)
class Capped:
    """A column whose large values count as a limit that the data gives."""

    metric: str
    source: str
    column: str
    share: float


@dataclass(frozen=True)
class Needs:
    """What has to be summed.

    Attributes:
        columns: Column of the aggregates -> column of the data; a capped one has the same source as
            its plain one, and an indicator of gaps the same as its covariate.
        pairs: Places in `columns`, i <= j, whose products are needed.
        caps: Which columns are capped.
        gaps: Covariates whose indicator is among the columns.
    """

    columns: dict[str, str]
    pairs: tuple[tuple[int, int], ...]
    caps: tuple[Capped, ...]
    gaps: tuple[str, ...]

    @property
    def indicators(self) -> dict[str, str]:
        """Indicator column -> covariate."""
        return {missing_column(covariate): covariate for covariate in self.gaps}


def needs_of(metrics: Sequence[Metric], *, gaps: Collection[str] = ()) -> Needs:
    """The sums that metrics need; those of kind quantile need none.

    Args:
        gaps: Covariates that are empty for some units.

    >>> needs_of([Metric(name="a", covariates=("x",)), Metric(name="b", covariates=("x",))]).pairs
    ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2))
    """
    columns: dict[str, str] = {}
    groups: list[tuple[str, ...]] = []
    caps: dict[str, Capped] = {}
    used_gaps: list[str] = []
    for metric in metrics:
        if metric.kind == "quantile":
            continue
        for source, column in zip(metric.sources, metric.value_columns, strict=True):
            columns[column] = source
            if metric.cap_share is not None:
                columns.setdefault(source, source)
                caps[column] = Capped(metric.name, source, column, metric.cap_share)
        columns.update({covariate: covariate for covariate in metric.covariates})
        missing = [name for name in metric.covariates if name in gaps]
        columns.update({missing_column(name): name for name in missing})
        used_gaps += missing
        groups.append((*metric.columns, *map(missing_column, missing)))
        groups.append(metric.sources)  # Beside a capped outcome the plain one is shown.
    place = {column: i for i, column in enumerate(columns)}
    pairs = {
        (min(place[one], place[other]), max(place[one], place[other]))
        for group in groups
        for one, other in combinations_with_replacement(group, 2)
    }
    return Needs(
        columns, tuple(sorted(pairs)), tuple(caps.values()), tuple(dict.fromkeys(used_gaps))
    )
