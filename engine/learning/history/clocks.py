"""Where people live, by what was known then, and what their clocks showed.

    zones(profile_id, zone)                 everyone of `people`
    offsets(zone, since, shift)             microseconds to add to an instant, from `since` on

A person's zone is the last that the best source told, as `engine.ticking.wire` keeps it: a trait,
a device, a country, else the workspace's own.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from engine.core import clocktime
from engine.core.model.instants import DAY, Instant

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

TRAIT: Final = "timezone"
_TOLD: Final = {
    "trait": "SELECT profile_id, arg_max(text_of(value), seq) AS zone FROM told "
    f"WHERE name = '{TRAIT}' AND nullif(text_of(value), '') IS NOT NULL GROUP BY profile_id",
    "device": "SELECT profile_id, arg_max(device_zone, seq) AS zone FROM acts "
    "WHERE device_zone IS NOT NULL GROUP BY profile_id",
    "country": "SELECT profile_id, arg_max(country_zone, seq) AS zone FROM acts "
    "WHERE country_zone IS NOT NULL GROUP BY profile_id",
}
"""What each source told last. `told` holds traits (`traits`), `acts` the rest."""


def pour_zones(lake: "Lake", sources: Sequence[str], own: str) -> None:
    """Fill `zones`.

    Args:
        sources: Best first; what stands behind `workspace` is never asked.
        own: The workspace's zone.
    """
    asked = [it for it in _before(sources, "workspace") if it in _TOLD]
    joins = "".join(f" LEFT JOIN ({_TOLD[it]}) AS {it}_told USING (profile_id)" for it in asked)
    told = "".join(f"{it}_told.zone, " for it in asked)
    lake.duck.execute(
        f"CREATE OR REPLACE TABLE zones AS SELECT profile_id, coalesce({told}$own) AS zone "
        f"FROM people{joins}",
        {"own": own},
    )
    for (zone,) in lake.select("SELECT DISTINCT zone FROM zones WHERE zone <> $own", {"own": own}):
        if not _is_zone(zone):
            lake.duck.execute(
                "UPDATE zones SET zone = $own WHERE zone = $it", {"own": own, "it": zone}
            )


def pour_offsets(lake: "Lake", zones: Iterable[str], first: Instant, last: Instant) -> None:
    """Fill `offsets` for these zones over a span of time."""
    lake.duck.execute("CREATE OR REPLACE TABLE offsets (zone VARCHAR, since BIGINT, shift BIGINT)")
    rows = []
    for zone in zones:
        rows += [(zone, since, _shift(since, zone)) for since in changes(zone, first, last)]
    lake.append("offsets", rows)


def changes(zone: str, first: Instant, last: Instant) -> list[Instant]:
    """When the zone's offset is another than before, from `first` (always in it) to `last`."""
    found, at = [first], first
    while at < last:
        to = min(at + DAY, last)
        change = clocktime.offset_changes_at(zone, after=at, until=to)
        if change is not None:
            found.append(change)
        at = to
    return found


def local(at: str = "happened") -> str:
    """What the clocks show, as microseconds; of rows joined by `with_clocks`."""
    return f"({at} + shift)"


def with_clocks(rows: str, at: str = "happened") -> str:
    """Rows with a profile_id and an instant, beside the shift of their clocks."""
    return (
        f"(SELECT r.*, z.zone FROM {rows} r JOIN zones z USING (profile_id)) l "
        f"ASOF JOIN offsets o ON l.zone = o.zone AND l.{at} >= o.since"
    )


def _shift(at: Instant, zone: str) -> int:
    offset = clocktime.local_time(at, zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1_000_000)


def _before(sources: Sequence[str], end: str) -> Sequence[str]:
    return sources[: sources.index(end)] if end in sources else sources


def _is_zone(text: str) -> bool:
    try:
        clocktime.zone_info(text)
    except ValueError:
        return False
    return True
