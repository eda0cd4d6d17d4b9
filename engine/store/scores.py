"""What models say of people: runs, their rows, and the one run of each model that segments read.

A run is `loading` until all its rows are there, then `champion`, then `retired`. Only `crown`
decides which is read, in one transaction; a run that never got there is swept away by the next.
What else there is to know of a run is in `engine.store.models`.

No row is of somebody who refuses to be profiled: what there is goes as the refusal is played, and
`add` leaves them out.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.errors import StoreError
from engine.core.model.campaigns import Profiling
from engine.core.model.instants import Instant
from engine.core.model.people import Score
from engine.core.profiling import may_be_profiled
from engine.store import bulk
from engine.store.connection import Connection, Row

BATCH = 5_000
"""Rows of one transaction: so few that no event waits long for the writer."""

_RUN_COLUMNS = ("model", "run", "kind", "status", "created_at", "cuts")
_SCORE_COLUMNS = ("profile_id", "model", "run", "value", "percentile", "label", "detail")
FORGETTING: Final = "scores forgotten"
"""The counter at whose row those who write scores and those who delete a person's wait for each
other: neither may look at the word of somebody and act on it while the other is half done."""
_traits: Final = msgspec.json.Decoder(dict[str, Any])
WAS_READ = "status IN ('champion', 'retired', 'swept')"
"""Of a run: segments read it once, or read it now."""
OF_PEOPLE = (
    "SELECT s.profile_id, s.model, s.value, s.percentile, s.label, s.run FROM model_score s "
    "JOIN model_run r ON r.model = s.model AND r.run = s.run AND r.status = 'champion' "
    "WHERE s.profile_id IN (?)"
)
_PAGE = (
    "SELECT profile_id, value, percentile, label, detail FROM model_score "
    "WHERE model = ? AND run = ? AND profile_id > ? ORDER BY profile_id LIMIT ?"
)


_OF_PEOPLE_AT = (
    "SELECT s.profile_id, s.model, s.value, s.percentile, s.label, s.run FROM model_score s "
    "JOIN (SELECT model, max(run) AS run FROM model_run WHERE created_at <= ? "
    f"AND {WAS_READ} GROUP BY model) r ON r.model = s.model AND r.run = s.run "
    "WHERE s.profile_id IN (?)"
)


class Run(Struct, frozen=True):
    """One run of a model. `n_scores` counts the people in it."""

    model: str
    run: int
    kind: str
    status: str
    created_at: Instant
    n_scores: int
    cuts: list[float | None]


def of_people(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, Score]]:
    """What the champions say of these profiles, by model; who is in no run is absent."""
    return by_profile(connection.select_in(OF_PEOPLE, ids))


def of_people_at(
    connection: Connection, ids: Sequence[int], *, at: Instant
) -> dict[int, dict[str, Score]]:
    """The same for the champions of an instant, as far as their rows are kept."""
    return by_profile(connection.select_in(_OF_PEOPLE_AT, ids, (at,)))


def by_profile(rows: Iterable[Row]) -> dict[int, dict[str, Score]]:
    """What rows of `OF_PEOPLE` say, by profile and model."""
    found: dict[int, dict[str, Score]] = {}
    for profile_id, model, value, percentile, label, run in rows:
        found.setdefault(profile_id, {})[model] = Score(value, percentile, label, run)
    return found


def champion_of(connection: Connection, model: str) -> int | None:
    """The number of the run that is read, if there is one."""
    rows = connection.execute(
        "SELECT run FROM model_run WHERE model = ? AND status = 'champion'", (model,)
    )
    return int(rows[0][0]) if rows else None


def begin(connection: Connection, model: str, *, kind: str, now: Instant) -> int:
    """Open a run that nobody reads yet, and give its number."""
    rows = connection.execute(
        "SELECT coalesce(max(run), 0) + 1 FROM model_run WHERE model = ?", (model,)
    )
    run = int(rows[0][0])
    bulk.insert(connection, "model_run", _RUN_COLUMNS, [(model, run, kind, "loading", now, "[]")])
    return run


def add(
    connection: Connection,
    model: str,
    run: int,
    rows: Iterable[tuple[int, Score, str]],
    *,
    profiling: Profiling,
) -> None:
    """Add rows of a run: (profile, score, detail); the detail is JSON, "" for none.

    Who was erased, merged into another or refused while the run was made is left out.
    """
    bulk.last(connection, FORGETTING)
    found = [(who, model, run, it.value, it.percentile, it.label, more) for who, it, more in rows]
    left_out = nobodys(connection, [row[0] for row in found], profiling)
    rows_left = [row for row in found if row[0] not in left_out]
    bulk.insert(connection, "model_score", _SCORE_COLUMNS, rows_left)


def nobodys(connection: Connection, ids: Sequence[int], profiling: Profiling) -> set[int]:
    """Of these profiles those of whom nothing may be foretold: erased, merged, or they refuse."""
    asked = "" if profiling.unknown == "refuse" else "AND traits LIKE ?"
    gone = connection.select_in(
        "SELECT id FROM profile WHERE id IN (?) "
        "AND (erased_at IS NOT NULL OR merged_into IS NOT NULL)",
        ids,
    )
    said = connection.select_in(
        f"SELECT id, traits FROM profile WHERE id IN (?) {asked}",
        ids,
        (f'%"{profiling.trait}"%',) if asked else (),
    )
    return {int(row[0]) for row in gone} | {
        int(profile_id)
        for profile_id, traits in said
        if not may_be_profiled(_traits.decode(traits).get(profiling.trait), profiling)
    }


def unprofiled(connection: Connection, profiling: Profiling) -> list[int]:
    """Whose rows are kept although nothing may be foretold of them: by a rule that is new."""
    found: list[int] = []
    after = -1
    while rows := connection.execute(
        "SELECT DISTINCT profile_id FROM model_score WHERE profile_id > ? "
        "ORDER BY profile_id LIMIT ?",
        (after, BATCH),
    ):
        ids = [int(row[0]) for row in rows]
        found += sorted(nobodys(connection, ids, profiling))
        after = ids[-1]
    return found


def forget(connection: Connection, ids: Sequence[int]) -> None:
    """Delete what every run says of these profiles, whose rows tell of it already."""
    if ids:
        bulk.last(connection, FORGETTING)
        bulk.delete(connection, "model_score", ("profile_id",), [(it,) for it in ids])


def crown(
    connection: Connection,
    model: str,
    run: int,
    *,
    instead_of: int | None,
    cuts: Sequence[float | None],
    wake: Sequence[int],
    now: Instant,
) -> None:
    """Make a run the one that is read, and every profile due that this matters to.

    Args:
        instead_of: The champion that `wake` was worked out against.
    Raises:
        StoreError: If another run became champion meanwhile; nothing may be committed.
    """
    retired = connection.execute(
        "UPDATE model_run SET status = 'retired' WHERE model = ? AND status = 'champion' "
        "RETURNING run",
        (model,),
    )
    if [int(row[0]) for row in retired] != ([] if instead_of is None else [instead_of]):
        raise StoreError(
            f'another run of "{model}" was published meanwhile; load this one again if it is newer'
        )
    raised = connection.execute(
        "UPDATE model_run SET status = 'champion', cuts = ? WHERE model = ? AND run = ? "
        "AND status = 'loading' RETURNING run",
        (json.dumps(list(cuts)), model, run),
    )
    if not raised:
        raise StoreError(f'run {run} of "{model}" is gone: another load swept it away; load again')
    _wake(connection, wake, now=now)


def uncrown(
    connection: Connection, model: str, run: int, *, wake: Sequence[int], now: Instant
) -> None:
    """Read no run of a model any more, and make every profile due that this matters to.

    Args:
        run: The champion that `wake` was worked out against.
    Raises:
        StoreError: If another run became champion meanwhile; nothing may be committed.
    """
    retired = connection.execute(
        "UPDATE model_run SET status = 'retired' WHERE model = ? AND status = 'champion' "
        "RETURNING run",
        (model,),
    )
    if [int(row[0]) for row in retired] != [run]:
        raise StoreError(f'another run of "{model}" was published meanwhile; nothing was withdrawn')
    _wake(connection, wake, now=now)


def pages(connection: Connection, model: str, run: int) -> Iterator[list[tuple[int, Score, str]]]:
    """Every row of a run in order of profiles, a page at a time: (profile, score, detail)."""
    after = -1
    while rows := connection.execute(_PAGE, (model, run, after, BATCH)):
        yield [(int(row[0]), Score(row[1], row[2], row[3], run), str(row[4])) for row in rows]
        after = int(rows[-1][0])


def details(connection: Connection, profile_id: int) -> dict[str, tuple[Score, str]]:
    """What the champions say of a profile, with the detail of each."""
    rows = connection.execute(
        "SELECT s.model, s.value, s.percentile, s.label, s.run, s.detail FROM model_score s "
        "JOIN model_run r ON r.model = s.model AND r.run = s.run AND r.status = 'champion' "
        "WHERE s.profile_id = ? ORDER BY s.model",
        (profile_id,),
    )
    return {str(row[0]): (Score(row[1], row[2], row[3], row[4]), str(row[5])) for row in rows}


def unread_runs(connection: Connection, model: str, *, before: int) -> list[int]:
    """Runs that hold rows nobody will read again: but the champion and the one before it."""
    rows = connection.execute(
        "SELECT run, status FROM model_run WHERE model = ? AND run < ? "
        "AND status IN ('retired', 'loading') ORDER BY run DESC",
        (model, before),
    )
    retired = [int(run) for run, status in rows if status == "retired"]
    return [int(run) for run, _ in rows if run not in retired[:1]]


def sweep(connection: Connection, model: str, run: int) -> bool:
    """Delete a batch of an unread run's rows; false once none is left.

    A run that was read once is remembered as `swept`, one that never was is forgotten.
    """
    page: list[Row] = connection.execute(
        "SELECT profile_id FROM model_score WHERE model = ? AND run = ? "
        "ORDER BY profile_id LIMIT ?",
        (model, run, BATCH),
    )
    keys = [(row[0], model, run) for row in page]
    bulk.delete(connection, "model_score", ("profile_id", "model", "run"), keys)
    if len(page) < BATCH:
        of_run = "WHERE model = ? AND run = ? AND status ="
        connection.execute(f"DELETE FROM model_run {of_run} 'loading'", (model, run))
        connection.execute(
            f"UPDATE model_run SET status = 'swept' {of_run} 'retired'", (model, run)
        )
    return len(page) == BATCH


def runs(connection: Connection) -> list[Run]:
    """Every run that can be read or was, by model, the newest first."""
    rows = connection.execute(
        "SELECT r.model, r.run, r.kind, r.status, r.created_at, r.cuts, "
        "(SELECT count(*) FROM model_score s WHERE s.model = r.model AND s.run = r.run) "
        "FROM model_run r ORDER BY r.model, r.run DESC"
    )
    return [
        Run(row[0], int(row[1]), row[2], row[3], int(row[4]), int(row[6]), json.loads(row[5]))
        for row in rows
    ]


def _wake(connection: Connection, wake: Sequence[int], *, now: Instant) -> None:
    bulk.insert(
        connection,
        "timer",
        ("due", "profile_id"),
        [(now, profile_id) for profile_id in wake],
        on_conflict="ignore",
    )
