"""Which units of a comparison other campaigns reached from their exposure on."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from engine.core.model.instants import Instant
from engine.readout.metric_sums import Unit
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.programme.contamination import Contamination, Touched, contamination

UNITS_PER_READ: Final = 5_000


def touched_by_others(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    *,
    as_of: Instant,
    treatment: str | None = None,
    alpha: float = 0.05,
) -> Contamination:
    """Count messages that left for the study's units from campaigns it is not about.

    Of the global holdout every campaign is "other" for the held-out side, and must not reach it at
    all: any message is a leak. Its treated side is meant to be reached and counts for comparison
    only. Transactional messages skip holdouts by design and are not counted.
    """
    sent = _sent_at(connection, [unit.profile_id for unit in units], study.campaign, as_of=as_of)
    counted: dict[str, list[int]] = {name: [0, 0, 0] for name in study.weights}
    for unit in units:
        instants = sent.get(unit.profile_id, [])
        # The instant itself counts: a treated unit is exposed by its first message.
        n_after = len(instants) - bisect_left(instants, unit.at)
        counts = counted[unit.variant]
        counts[0] += 1
        counts[1] += n_after > 0
        counts[2] += n_after
    return contamination(
        {name: Touched(*counts) for name, counts in counted.items()},
        control=study.control,
        treatment=study.treatments[0] if treatment is None else treatment,
        must_be_silent=study.kind == "global holdout",
        alpha=alpha,
    )


def _sent_at(
    connection: Connection, ids: Sequence[int], campaign: str, *, as_of: Instant
) -> dict[int, list[Instant]]:
    """When messages of other campaigns left (or may have), by profile, in order."""
    found: dict[int, list[Instant]] = defaultdict(list)
    for start in range(0, len(ids), UNITS_PER_READ):
        rows = connection.select_in(
            "SELECT profile_id, at FROM message WHERE profile_id IN (?) AND at <= ? "
            "AND lane <> 0 AND status IN ('sent', 'unknown') AND campaign <> ?",
            ids[start : start + UNITS_PER_READ],
            (as_of, campaign),
        )
        for profile_id, at in rows:
            found[profile_id].append(at)
    return {profile_id: sorted(instants) for profile_id, instants in found.items()}
