"""A profile that meets a new release takes up the features it never kept.

What `backfill` has drafted of it needs only the events since; what nobody drafted (few people, a
merge meanwhile, a release skipped) is folded from its whole history. Either way its verdicts change
in the one transaction of the batch that plays it.
"""

from collections.abc import Mapping, Sequence

from engine.release import drafts
from engine.release.drafts import Draft
from engine.release.playbook import Playbook
from engine.store.connection import Connection, Row
from engine.store.events import COLUMNS, MERGE, OWN, event_tables_after
from engine.store.people import Loaded
from engine.ticking.wire import decode

_SHAPE = "seq, profile_id, name, at, accepted_at, flags, properties, context, traits"
_HISTORY = (
    f"SELECT {_SHAPE} FROM {{table}} "
    f"WHERE profile_id IN (?) AND (seq <= ? OR flags = {OWN}) ORDER BY seq"
)
assert set(_SHAPE.split(", ")) <= set(COLUMNS)


def rebuild_features(
    connection: Connection, loaded: Mapping[int, Loaded], playbook: Playbook, *, up_to: int
) -> list[int]:
    """Give each profile that meets the release the features its last release did not keep.

    Args:
        up_to: The last event already played; later ones come through `play`, but for those of
            our own, which were played when they were written.
    Returns:
        The profiles that meet it: their drafts, if there are any, are spent.
    """
    met = [
        profile_id
        for profile_id, it in loaded.items()
        if it.person.state.release != playbook.program.release and not it.person.is_new
    ]
    if not met:
        return met
    missing: dict[int, frozenset[str]] = {}
    for profile_id in met:
        state = loaded[profile_id].person.state
        lacking = playbook.segments.feature_keys - playbook.features_at(state.release)
        for key in lacking:
            state.features.pop(key, None)  # folding anew must not count twice
        if lacking:
            missing[profile_id] = lacking
    if missing:
        rest = _take_up_drafts(connection, loaded, playbook, missing, up_to=up_to)
        _fold_history(connection, loaded, playbook, rest, tables=["event"], up_to=up_to)
    return met


def _take_up_drafts(
    connection: Connection,
    loaded: Mapping[int, Loaded],
    playbook: Playbook,
    missing: Mapping[int, frozenset[str]],
    *,
    up_to: int,
) -> dict[int, frozenset[str]]:
    """Put what was drafted in place, with the events since; what nobody has drafted is returned."""
    under_way = drafts.current(connection)
    found = {} if under_way is None else drafts.read(connection, list(missing))
    if under_way is None or not found:
        return dict(missing)
    drafted = {profile_id: missing[profile_id] & under_way.keys for profile_id in found}
    for profile_id, keys in drafted.items():
        given = found[profile_id].features
        features = loaded[profile_id].person.state.features
        features.update((key, given[key]) for key in keys if key in given)
    since = min(each.position for each in found.values())
    tables = event_tables_after(connection, since)
    _fold_history(connection, loaded, playbook, drafted, tables=tables, up_to=up_to, since=found)
    rest = {each: keys - drafted.get(each, frozenset()) for each, keys in missing.items()}
    return {profile_id: keys for profile_id, keys in rest.items() if keys}


_NOTHING: Mapping[int, Draft] = {}


def _fold_history(
    connection: Connection,
    loaded: Mapping[int, Loaded],
    playbook: Playbook,
    wanted: Mapping[int, frozenset[str]],
    *,
    tables: Sequence[str],
    up_to: int,
    since: Mapping[int, Draft] = _NOTHING,
) -> None:
    """Fold what these profiles have been played, in order, into the wanted features alone."""
    observe = playbook.segments.observe
    for table in tables:
        sql = _HISTORY.format(table=table)
        for row in connection.select_in(sql, list(wanted), (up_to,)):
            if row[5] & MERGE:
                continue  # its two people are already one; no condition is about that
            draft = since.get(row[1])
            if draft is None or not _is_in(draft, row):
                features = loaded[row[1]].person.state.features
                observe(features, decode(row).event, only=wanted[row[1]])


def _is_in(draft: Draft, row: Row) -> bool:
    """Whether a draft has folded this event: our own ones are ahead of the position."""
    seq, flags = int(row[0]), int(row[5])
    return seq <= (draft.seq if flags == OWN else draft.position)
