"""One batch of a backfill, read and computed: what a release will remember of some people.

The log is read in the order of profiles, part by part, only the events and columns that the missing
features look at, and folded with the core's own folds. Then each person meets the release in
`play`, on the drafted state and for nobody to see: whom that changes in any way must be woken when
it goes live; all others lose nothing by meeting it whenever they are played next.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, count
from typing import Any, Final

import msgspec

from engine.core.conditions.narrowed import Narrowed
from engine.core.model.effects import Effect
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.play import play
from engine.core.roster import roster_of
from engine.release.drafts import Drafted
from engine.release.playbook import Playbook
from engine.store import people
from engine.store.connection import Connection, Row
from engine.store.events import OWN, event_tables
from engine.store.people import Loaded
from engine.ticking.wire import decode

BATCH: Final = 2_000
"""Profiles a batch: at ten events each it takes a sixth of a second."""

_pack: Final = msgspec.msgpack.Encoder().encode
_TIMES: Final = "seq, profile_id, name, at, accepted_at, flags"
_CONTENT: Final = f"{_TIMES}, properties, context, traits"


def draft(
    connection: Connection,
    playbook: Playbook,
    *,
    after: int,
    until: int,
    now: Instant,
    limit: int,
) -> Drafted:
    """Draft the next profiles in (after, until].

    Args:
        connection: One snapshot: positions, states and events belong together.
        playbook: The release that is being prepared.
    """
    rows = connection.execute(
        "SELECT profile_id FROM profile_state WHERE profile_id > ? AND profile_id <= ? "
        "ORDER BY profile_id LIMIT ?",
        (after, until, limit),
    )
    ids = [int(row[0]) for row in rows]
    if not ids:
        return Drafted([], [], [], 0, frozenset(), None)
    reached = _positions(connection)
    seq = int(connection.execute("SELECT coalesce(max(value), 0) FROM counter "
                                 "WHERE name = 'event'")[0][0])  # fmt: skip
    loaded = people.load(connection, ids, models=playbook.segments.news.models)
    missing = {
        profile_id: playbook.segments.feature_keys - playbook.features_at(it.person.state.release)
        for profile_id, it in loaded.items()
    }
    features = _folded(connection, playbook, missing, reached, now=now)
    concerned: set[int] = set()
    drafts: list[bytes] = []
    for profile_id, it in loaded.items():
        drafts.append(_pack(features[profile_id]))
        kept = it.person.state.features
        for key in missing[profile_id]:
            kept.pop(key, None)
        kept.update(features[profile_id])
        if is_concerned(it, playbook, now=now):
            concerned.add(profile_id)
    return Drafted(
        ids=list(loaded),
        drafts=drafts,
        positions=[reached[profile_id % len(reached)] for profile_id in loaded],
        seq=seq,
        concerned=frozenset(concerned),
        last=ids[-1],
    )


def _positions(connection: Connection) -> dict[int, int]:
    """How far each partition was played."""
    rows = connection.execute("SELECT number, position FROM partition")
    return dict(rows)


def _folded(
    connection: Connection,
    playbook: Playbook,
    missing: Mapping[int, frozenset[str]],
    reached: Mapping[int, int],
    *,
    now: Instant,
) -> dict[int, dict[str, Any]]:
    """The missing features of each profile, from every event it was played that can still matter.

    What has left every window by now is left out, as a fold would forget it with the next event.
    """
    features: dict[int, dict[str, Any]] = {profile_id: {} for profile_id in missing}
    for keys in frozenset(missing.values()):
        if not keys:
            continue
        theirs = {each: features[each] for each in missing if missing[each] == keys}
        narrowed = playbook.segments.narrowed(keys)
        began = narrowed.began(now)
        again: set[int] = set()
        for table in event_tables(connection):
            rows = _history(connection, table, theirs, narrowed, max(reached.values()), now=now)
            rows = _played(rows, reached)
            if began is not None:
                again.update(row[1] for row in rows if began[0] < row[3] <= began[1])
            _fold(rows, narrowed, theirs)
        _fold_all(connection, narrowed.whole(), theirs, again & theirs.keys(), reached, now=now)
    return features


def _fold_all(
    connection: Connection,
    narrowed: Narrowed,
    states: Mapping[int, dict[str, Any]],
    ids: Collection[int],
    reached: Mapping[int, int],
    *,
    now: Instant,
) -> None:
    """Once more for the few whose session may have begun before what was read."""
    for profile_id in ids:
        states[profile_id].clear()
        for table in event_tables(connection):
            rows = _history(
                connection, table, [profile_id], narrowed, max(reached.values()), now=now
            )
            _fold(_played(rows, reached), narrowed, states)


def _played(rows: list[Row], reached: Mapping[int, int]) -> list[Row]:
    """Those that were played: ours when they were written, others up to their partition's
    position."""
    if len(set(reached.values())) == 1:
        return rows
    n_partitions = len(reached)
    return [row for row in rows if row[5] == OWN or row[0] <= reached[row[1] % n_partitions]]


def _history(
    connection: Connection,
    table: str,
    ids: Collection[int],
    narrowed: Narrowed,
    up_to: int,
    *,
    now: Instant,
) -> list[Row]:
    """What one part holds of a range of profiles, in order; nothing that makes no difference.

    The plus signs keep the planner from walking the whole part in the order of `seq`: the index of
    profiles is what makes a batch cost no more than its own events.
    """
    columns = _CONTENT if narrowed.reads_content else _TIMES
    names = narrowed.names or ()
    named = f"AND name IN ({', '.join('?' * len(names))}) " if names else ""
    recent, values = _recent(narrowed, now=now)
    return connection.execute(
        f"SELECT {columns} FROM {table} WHERE profile_id BETWEEN ? AND ? {named}{recent}"
        f"AND (+seq <= ? OR flags = {OWN}) ORDER BY +seq",
        (min(ids), max(ids), *names, *values, up_to),
    )


def _recent(narrowed: Narrowed, *, now: Instant) -> tuple[str, list[Any]]:
    """The condition that an event happened recently enough for its name, and its values."""
    if not narrowed.is_bounded:
        return "", []
    since = {name: -NEVER if it is None else now - it for name, it in narrowed.reach.items()}
    others = since.pop("")
    cases = " ".join("WHEN CAST(? AS text) THEN CAST(? AS bigint)" for _ in since)
    # Every event lies after the least of them: that much the index of profiles knows by itself.
    values = [min(others, *since.values()), *chain.from_iterable(since.items()), others]
    return f"AND at > ? AND at > CASE name {cases} ELSE CAST(? AS bigint) END ", values


def _fold(rows: Sequence[Row], narrowed: Narrowed, states: Mapping[int, dict[str, Any]]) -> None:
    """Fold rows in order; those of a profile that is not asked for are left out."""
    folds, others = narrowed.folds, narrowed.folds[""]
    if narrowed.reads_content:
        for row in rows:
            state = states.get(row[1])
            if state is not None:
                whole = decode(row).event
                for fold in folds.get(whole.name, others):
                    fold(state, whole)
        return
    for seq, profile_id, name, at, accepted_at, _ in rows:
        state = states.get(profile_id)
        if state is not None:
            event = Event(seq, name, at, accepted_at)
            for fold in folds.get(name, others):
                fold(state, event)


def is_concerned(it: Loaded, playbook: Playbook, *, now: Instant) -> bool:
    """Whether meeting this release changes anything that must not wait for the next event.

    Plays it on the person given, who is of no use afterwards. What may wait: a verdict that is the
    old one, or "not in" until an event comes; a feature; a timer that is not earlier than the one
    that is armed.
    """
    if _has_another_verdict(it, playbook, now=now):
        return True  # as most people a new segment is about: that much is cheaply known
    person = it.person
    state = person.state
    was_inside = {name: each.matches for name, each in state.memberships.items()}
    schedules, audiences = dict(state.schedules), dict(state.audiences)
    ids = count(1)
    try:
        effects: list[Effect] = play(
            person,
            [],
            program=playbook.program,
            segments=playbook.segments,
            floor=now,
            horizon=-1,  # it meets the release; nothing is due yet
            evaluate=playbook.evaluate,
            new_id=lambda noun: next(ids),
        )
    except Exception:
        return True  # the loop will meet the same trouble, and knows what to do about it
    if effects or state.schedules != schedules or state.audiences != audiences:
        return True
    if any(inside for name, inside in was_inside.items() if name not in state.memberships):
        return True  # a segment that is gone still has them as a member
    return any(
        people.enrollment_row(each, person.profile.id) != it.was_enrollments.get(each.id)
        for each in person.enrollments
    )


def _has_another_verdict(it: Loaded, playbook: Playbook, *, now: Instant) -> bool:
    """Whether a segment must be told at once: of who is inside or not any more, or of an answer
    that a change must not find missing."""
    segments, state = playbook.segments, it.person.state
    # What comes from outside the log can change a verdict without an event.
    told = segments.touched_by_facts(segments.news.facts)
    for name in roster_of(playbook.program).segments:
        matches, until = segments.asks[name](state.features, it.person.profile, now)
        known = state.memberships.get(name)
        if known is None:
            if matches or until < NEVER or name in told:
                return True
        elif known.matches != matches:
            return True
    return False
