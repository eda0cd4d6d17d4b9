"""Everything beside the sums that a readout of a study carries: days, segments, receipts, ages.

All of it is taken from the same units by the same code as the sums. Read next: `findings`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
import numpy as np

from engine.core.errors import UsageError
from engine.core.model.instants import DAY, Instant
from engine.readout.ages import age_sums
from engine.readout.assigned import ADDS_UP
from engine.readout.exposures import OFF_PLAN, TORN, Exposed, Population, counts
from engine.readout.metric_sums import Keys, MetricSums
from engine.readout.plans import Reading
from engine.readout.studies import Study
from engine.release.experiment_orders import Explanation
from engine.store.connection import Connection
from experiments.analysis.collected import RECEIVED, Collected, hash_of
from experiments.analysis.few_clusters import randomized
from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

DAYS_SHOWN: Final = 92
"""With more days than so many a look is a week."""
IDS_PER_READ: Final = 5_000
LEVELS_MAX: Final = 20
OTHER: Final = "(other)"
"""Levels of a dimension beyond the most common ones are one level together."""
BOUNCED: Final = ("bounced", "undelivered", "rejected", "failed")
RANDOMIZED_BY: Final = 1
"""Seed of the lots that assign few clusters anew: the same data give the same report."""
_DAY, _REACHED = "day countable", "reached by the message"

_object: Final = msgspec.json.Decoder(dict[str, Any])


def keys_of(
    connection: Connection,
    study: Study,
    reading: Reading,
    mature: Sequence[Exposed],
    *,
    window: int,
    as_of: Instant,
) -> Keys:
    """What the units are summed by beside their variant."""
    dimensions: dict[str, Sequence[str | None]] = {}
    for path in reading.plan.dimensions:
        dimensions[path] = _levels(connection, mature, path)
    if window and mature:
        dimensions[_DAY] = _days([it.unit.at + window for it in mature])
    if study.campaign and mature:
        reached = _reached(connection, study, mature, as_of=as_of)
        dimensions[_REACHED] = ["yes" if it else "no" for it in reached]
    has_groups = study.unit != "profile" and any(it.key for it in mature)
    return Keys(
        dimensions=dimensions,
        cluster=[it.key or str(it.unit.profile_id) for it in mature] if has_groups else None,
    )


def collected(
    connection: Connection,
    study: Study,
    reading: Reading,
    population: Population,
    measured: MetricSums,
    *,
    window: int,
    as_of: Instant,
    acknowledged: Explanation,
) -> Collected:
    """What `analyze` is given beside the aggregates."""
    sums = measured.sums
    dimensions = dict(sums.dimensions)
    days = dict(sorted(dimensions.pop(_DAY, {}).items()))
    reached = dimensions.pop(_REACHED, {})
    ages, age_days = _ages(connection, study, reading, population, window=window, as_of=as_of)
    return Collected(
        as_of=_instant(as_of),
        window=timedelta(microseconds=window),
        days=days,
        populations=_populations(study, population),
        dimensions=dimensions,
        clusters=sums.clusters,
        randomized=randomized(
            reading.plan, sums.few_clusters, rng=np.random.default_rng(RANDOMIZED_BY)
        ),
        quantiles=sums.quantiles,
        ages=ages,
        age_days=age_days,
        received=_received(reading.plan.deciding, reached),
        excluded=(*population.excluded, *sums.excluded),
        n_unreadable=measured.n_unreadable,
        caps=sums.caps,
        record=reading.record,
        is_open_ended=reading.is_open_ended,
        acknowledged=acknowledged.cause,
        acknowledged_of=acknowledged.of,
        units_per_day=population.units_per_day,
        snapshot=_snapshot(population, sums.aggregates),
        engine_version=engine_version(),
    )


def engine_version() -> str:
    """The version that stands on reports."""
    try:
        return version("antiphon")
    except PackageNotFoundError:
        return "not installed"


def _instant(at: Instant) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, UTC) + timedelta(microseconds=at % 1_000_000)


def _days(instants: Sequence[Instant]) -> list[str]:
    """The day on which each became countable; the Monday of its week where there are many days."""
    is_long = (max(instants) - min(instants)) // DAY > DAYS_SHOWN
    found = []
    for at in instants:
        day = _instant(at).date()
        found.append((day - timedelta(days=day.weekday() if is_long else 0)).isoformat())
    return found


def _levels(connection: Connection, mature: Sequence[Exposed], path: str) -> list[str | None]:
    """The value of a trait of each unit, as it is today."""
    name = path.removeprefix("traits.")
    found: dict[int, str] = {}
    ids = list({it.unit.profile_id for it in mature})
    for start in range(0, len(ids), IDS_PER_READ):
        rows = connection.select_in(
            "SELECT id, traits FROM profile WHERE id IN (?)", ids[start : start + IDS_PER_READ]
        )
        for profile_id, traits in rows:
            value: Any = _object.decode(traits) if traits else {}
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, str | int | float | bool) and not _is_sealed(value):
                found[profile_id] = str(value)
    common = dict(Counter(found.values()).most_common(LEVELS_MAX))
    levels = [found.get(it.unit.profile_id) for it in mature]
    return [level if level is None or level in common else OTHER for level in levels]


def _is_sealed(value: object) -> bool:
    """Personal data stands in a profile as a mark, which tells nobody apart in a readable way."""
    return isinstance(value, str) and value.startswith("blind:")


def _reached(
    connection: Connection, study: Study, mature: Sequence[Exposed], *, as_of: Instant
) -> list[bool]:
    """Whether a message of the treatment reached each unit after its exposure.

    Accepted by the provider and not returned; whether it was opened is not asked.
    """
    ids = list({it.unit.profile_id for it in mature})
    sent: dict[int, list[Instant]] = {}
    for start in range(0, len(ids), IDS_PER_READ):
        rows = connection.select_in(
            "SELECT m.profile_id, m.at, m.step, d.status FROM message m LEFT JOIN delivery d"
            " ON d.message_id = m.id WHERE m.profile_id IN (?) AND m.campaign = ?"
            " AND m.status = 'sent' AND m.at <= ?",
            ids[start : start + IDS_PER_READ],
            (study.campaign, as_of),
        )
        for profile_id, at, step, status in rows:
            is_ours = study.sends is None or step in study.sends
            if is_ours and status not in BOUNCED:
                sent.setdefault(profile_id, []).append(at)
    return [any(at >= it.unit.at for at in sent.get(it.unit.profile_id, ())) for it in mature]


def _received(
    metric: Metric, reached: Mapping[str, Mapping[str, Aggregates]]
) -> dict[str, Aggregates]:
    """Per variant, the deciding outcome beside whether the message got there.

    Two groups of units and their moments are all that a yes-or-no column needs.
    """
    if metric.kind in ("quantile", "ratio") or "yes" not in reached:
        return {}
    (column,) = metric.value_columns
    found: dict[str, Aggregates] = {}
    for level, arms in reached.items():
        for variant, part in arms.items():
            moment = part.variance(column) * max(part.n - 1, 0)
            group = Aggregates(
                part.n,
                (column, RECEIVED),
                (part.mean(column), float(level == "yes")),
                ((moment, 0.0), (0.0, 0.0)),
            )
            found[variant] = found[variant].merge(group) if variant in found else group
    return found


def _ages(
    connection: Connection,
    study: Study,
    reading: Reading,
    population: Population,
    *,
    window: int,
    as_of: Instant,
) -> tuple[Mapping[str, Aggregates], Mapping[str, float]]:
    """The deciding metric by quarters of its window, of the units that have lived it all."""
    definition = next(it for it, _ in reading.metrics if it.name == reading.plan.deciding.name)
    length = (definition.within or 0) // 4 // DAY * DAY
    if length < DAY or definition.measure not in ADDS_UP or study.unit != "profile":
        return {}, {}
    units = [it.unit for it in population.mature if it.unit.at + window <= as_of]
    try:
        return age_sums(
            connection, study, units, replace(definition, covariate=None), as_of=as_of, ages=4,
            length=length,
        )  # fmt: skip
    except (UsageError, DataError):
        return {}, {}  # Of a warehouse that does not answer: the metric itself says why.


def _populations(study: Study, population: Population) -> dict[str, dict[str, dict[str, int]]]:
    """Units per variant by the week and the place they came from, and by what a gate had said.

    By week, because a day of a small shop has too few units to tell anything.
    """
    mature = population.mature
    could = {
        variant: counts(study, chosen, _all)[""]
        for variant in study.treatments
        if 0 < len(chosen := _allowed(mature, variant)) < len(mature)
    }
    left = {
        it.why: dict(it.n_by_variant) for it in population.excluded if it.why in (TORN, OFF_PLAN)
    }
    found = {
        "exposed in the week of": counts(study, mature, lambda it: _week(it.unit.at)),
        "seen by": counts(study, mature, lambda it: it.source),
        "could be reached by": could,
        "left out, who": left,
    }
    several = ("exposed in the week of", "seen by")
    return {
        name: dict(sorted(levels.items()))
        for name, levels in found.items()
        if len(levels) > (name in several)
    }


def _allowed(mature: Sequence[Exposed], variant: str) -> list[Exposed]:
    return [it for it in mature if it.would_allow.get(variant) == "allow"]


def _all(_: Exposed) -> str:
    return ""


def _week(at: Instant) -> str:
    day = _instant(at).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def _snapshot(population: Population, aggregates: Mapping[str, Aggregates]) -> str:
    """Hash of who was read and of everything that was summed of them."""
    seen = sha256()
    for it in population.mature:
        unit = it.unit
        seen.update(f"{unit.profile_id}|{it.key}|{unit.variant}|{unit.at}\n".encode())
    seen.update(hash_of(aggregates).encode())
    return seen.hexdigest()


def variants_of(chosen: Iterable[Exposed]) -> Counter[str]:
    """People per variant."""
    return Counter(it.unit.variant for it in chosen)
