"""What is known of the units of a study, one by one, for a search among them for other effects.

Traits are as they stand today: one that the treatment changed would make its result look like a
reason. The report says so. Read next: `experiments.analysis.exploring`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from campaigns.metrics import WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.exposures import Exposed
from engine.readout.metric_sums import outcomes
from engine.readout.plans import Reading
from engine.store.connection import Connection
from experiments.analysis.exploring import trees
from experiments.errors import DataError
from experiments.programme.honest_tree import HonestTree
from experiments.sums.unit_sums import UnitRows

TRAITS: Final = "traits."
IDS_PER_READ: Final = 5_000
SEED: Final = 1
"""Of the lots by which a tree's halves are drawn: the same data give the same report."""

_object: Final = msgspec.json.Decoder(dict[str, Any])


def explored(
    connection: Connection,
    reading: Reading,
    mature: Sequence[Exposed],
    paths: Sequence[str],
    *,
    as_of: Instant,
) -> dict[str, HonestTree]:
    """Per variant a tree of the deciding metric's effect, by traits of its mature units.

    Raises:
        UsageError: If a path is no trait, or the deciding metric is no number of each unit.
    """
    for path in paths:
        if not path.startswith(TRAITS) or path == TRAITS:
            raise UsageError(f'--explore: "{path}" is no trait; write traits.NAME')
    deciding = reading.plan.deciding.name
    definition = next(it for it, _ in reading.metrics if it.name == deciding)
    if isinstance(definition, WarehouseMetric):
        raise UsageError(
            f"--explore: {deciding} lies in a warehouse, of which only sums are read. Explore by"
            " `antiphon analyze` on a file of its units"
        )
    found = outcomes(connection, [it.unit for it in mature], definition, as_of=as_of)
    (source,) = reading.plan.deciding.sources or (deciding,)
    rows = UnitRows(
        variant=np.array([it.unit.variant for it in mature], dtype=str),
        outcomes={source: np.array([outcome for outcome, _ in found], dtype=float)},
        known=known_traits(connection, [it.unit.profile_id for it in mature], paths),
    )
    try:
        return trees(reading.plan, rows, rng=np.random.default_rng(SEED))
    except DataError as error:
        raise UsageError(f"--explore: {error}") from error


def known_traits(
    connection: Connection, ids: Sequence[int], paths: Sequence[str]
) -> dict[str, Any]:
    """Each trait of each profile: numbers where all are numbers, or else texts."""
    traits: dict[int, dict[str, Any]] = {}
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), IDS_PER_READ):
        rows = connection.select_in(
            "SELECT id, traits FROM profile WHERE id IN (?)", unique[start : start + IDS_PER_READ]
        )
        traits |= {int(it): _object.decode(kept) if kept else {} for it, kept in rows}
    return {path: _column([_value(traits.get(it, {}), path) for it in ids]) for path in paths}


def _value(traits: Mapping[str, Any], path: str) -> str | float | bool | None:
    value: Any = traits
    for part in path.removeprefix(TRAITS).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    # A sealed value is a mark that differs by person: it would only tell them apart by name.
    is_plain = isinstance(value, str | int | float) and not str(value).startswith("blind:")
    return value if is_plain else None


def _column(values: Sequence[str | float | bool | None]) -> Any:
    known = [it for it in values if it is not None]
    if known and all(isinstance(it, int | float) and not isinstance(it, bool) for it in known):
        return np.array([np.nan if it is None else float(it) for it in values])
    return np.array(["" if it is None else str(it) for it in values], dtype=str)
