"""Logs of millions as columns, summed into cohorts by numpy: the same sums as `log.batches`."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.bandits.log import ArmSums, Batch, require_vector
from experiments.errors import DataError


def cohorts_of_columns(
    *,
    arms: Sequence[str],
    chosen: Any,
    version: Any,
    period: Any,
    outcomes: Any,
    vectors: Mapping[int, Mapping[str, float]],
) -> tuple[Batch, ...]:
    """The sums of each cohort, in the order of time.

    Args:
        arms: Names; `chosen` holds their places.
        chosen, version, period, outcomes: One entry a unit, of matured units.
        vectors: The chances of all arms by version.
    Raises:
        DataError: If lengths differ, a version has no vector, or an outcome is not finite.
    """
    import numpy as np

    columns = [np.asarray(it, dtype=np.int64) for it in (chosen, version, period)]
    values = np.asarray(outcomes, dtype=float)
    if {len(it) for it in columns} != {len(values)}:
        raise DataError("arms, versions, periods and outcomes must have one entry a unit each")
    if not len(values):
        return ()
    if not np.isfinite(values).all():
        raise DataError("an outcome is not finite; leave out units whose window is open")
    if columns[0].min() < 0 or columns[0].max() >= len(arms):
        raise DataError(f"an arm outside 0 to {len(arms) - 1} was chosen")
    versions, of = np.unique(columns[1], return_inverse=True)
    periods, when = np.unique(columns[2], return_inverse=True)
    # One number a cohort and arm, in the order of time: sorting triples would be slow.
    keys = (when.astype(np.int64) * len(versions) + of) * len(arms) + columns[0]
    groups, places = np.unique(keys, return_inverse=True)
    counts = np.bincount(places)
    # Shifted by the mean of all first: sums of large, close numbers would lose their digits.
    shift = float(values.mean())
    means = np.bincount(places, weights=values - shift) / counts
    moments = np.bincount(places, weights=(values - shift - means[places]) ** 2)
    found: dict[tuple[int, int], dict[str, ArmSums]] = {}
    for group, key in enumerate(groups.tolist()):
        cohort, arm = divmod(key, len(arms))
        at, its = divmod(cohort, len(versions))
        place = (int(periods[at]), int(versions[its]))
        sums = ArmSums(int(counts[group]), shift + float(means[group]), float(moments[group]))
        found.setdefault(place, {})[arms[arm]] = sums
    batches = []
    for (its_period, its_version), sums_of in found.items():
        vector = vectors.get(its_version, {})
        require_vector(vector, where=f"version {its_version}")
        batches.append(Batch(its_version, its_period, vector, sums_of))
    return tuple(batches)
