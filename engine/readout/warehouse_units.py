"""Who was exposed, as a temporary table in a warehouse: all that ever goes there.

`antiphon_exposed` has a row per unit (its place, variant, instant, and what it is grouped by),
`antiphon_ids_…` the ids by which the warehouse knows it. A unit may have several ids, or none, and
two units may share one; the sums are those of what the warehouse says of each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.readout.metric_sums import Keys, Unit
from engine.store.connection import Connection
from engine.store.elsewhere_kinds import Elsewhere, Held

EXPOSED: Final = "antiphon_exposed"
CLUSTER: Final = "cluster_of"
IDS_PER_READ: Final = 5_000

_object: Final = msgspec.json.Decoder(dict[str, Any])


def keep_exposed(there: Elsewhere, units: Sequence[Unit], keys: Keys) -> None:
    """Make the table of units; its columns d0, d1, … are the dimensions in their order."""
    columns: dict[str, Held] = {"place": "number", "variant": "text", "exposed": "number"}
    given: dict[str, Sequence[str | None]] = {
        f"d{i}": levels for i, levels in enumerate(keys.dimensions.values())
    }
    if keys.cluster is not None:
        given[CLUSTER] = keys.cluster
    columns |= dict.fromkeys(given, "text")
    groups = list(zip(*given.values(), strict=True)) if given else [()] * len(units)
    rows = [
        (place, unit.variant, unit.at, *group)
        for place, (unit, group) in enumerate(zip(units, groups, strict=True))
    ]
    there.keep(EXPOSED, columns, rows)


def keep_ids(
    there: Elsewhere, connection: Connection, units: Sequence[Unit], kind: str, *, number: int
) -> tuple[str, list[str]]:
    """Make the table of ids of one kind: user, anonymous or traits.PATH.

    Returns:
        Its name, and what the reader must know of who has none or shares one.
    """
    found = _ids(connection, sorted({unit.profile_id for unit in units}), kind)
    rows = [
        (id, place) for place, unit in enumerate(units) for id in found.get(unit.profile_id, ())
    ]
    name = f"antiphon_ids_{number}"
    there.keep(name, {"unit": "text", "place": "number"}, rows)
    return name, _cautions(units, found, kind)


def _ids(connection: Connection, profiles: Sequence[int], kind: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for start in range(0, len(profiles), IDS_PER_READ):
        piece = profiles[start : start + IDS_PER_READ]
        if kind.startswith("traits."):
            rows = connection.select_in("SELECT id, traits FROM profile WHERE id IN (?)", piece)
            for profile_id, traits in rows:
                value = _trait(traits, kind.removeprefix("traits."))
                if value is not None:
                    found[profile_id] = [value]
        else:
            rows = connection.select_in(
                "SELECT profile_id, value FROM identity WHERE profile_id IN (?) AND kind = ?",
                piece,
                (kind,),
            )
            for profile_id, value in sorted(rows):
                found.setdefault(profile_id, []).append(value)
    return found


def _trait(traits: str, name: str) -> str | None:
    value: Any = _object.decode(traits) if traits else {}
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
    return None if text.startswith("blind:") else text


def _cautions(units: Sequence[Unit], found: Mapping[int, Sequence[str]], kind: str) -> list[str]:
    said = []
    name = {"user": "user id", "anonymous": "anonymous id"}.get(kind, kind)
    unknown = Counter(unit.variant for unit in units if not found.get(unit.profile_id))
    if unknown:
        shares = ", ".join(f"{variant} {n:,}" for variant, n in sorted(unknown.items()))
        said.append(
            f"{sum(unknown.values()):,} of {len(units):,} units have no {name}, so that the"
            f" warehouse cannot know them; its metrics are 0 for them ({shares})"
        )
    holders = Counter(id for ids in found.values() for id in ids)
    shared = sum(n for n in holders.values() if n > 1)
    if shared:
        said.append(
            f"{shared:,} units share their {name} with another; what the warehouse says of it"
            " counts for each of them"
        )
    return said
