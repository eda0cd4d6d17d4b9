"""Publish a run of a model: its rows in batches, then in one transaction the run that is read.

A run becomes champion together with the timers of exactly those profiles whose answer to some
condition it changes: they are played at once, and whoever fell out of the top decile leaves the
segment then. All others are told of the new run whenever they are next played.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.conditions.scored import Cut, cuts_of
from engine.core.errors import UsageError
from engine.core.model.campaigns import Profiling, Program
from engine.core.model.instants import Instant
from engine.core.model.people import Score
from engine.release.playbook import Playbook
from engine.score_file import Scored, read_scores
from engine.store import identities, scores
from engine.store.connection import Connection
from engine.store.database import Database

Write = Callable[[Callable[[Connection], Any]], Any]

CUTS: Final = 100
NO_DETAILS: Final[Mapping[int, str]] = {}
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Published(Struct, frozen=True):
    """A run that is now champion. `n_unknown` rows name nobody we know, `n_refused` people who
    refuse to be profiled: whoever made the scores, they are left out."""

    model: str
    run: int
    kind: str
    n_scored: int
    n_unknown: int
    n_woken: int
    n_refused: int = 0


def publish(
    database: Database,
    values: Mapping[int, tuple[float, str]],
    *,
    model: str,
    kind: str,
    program: Program | None,
    write: Write,
    now: Instant,
    n_unknown: int = 0,
    run: int | None = None,
    details: Mapping[int, str] = NO_DETAILS,
) -> Published:
    """Make a run of a model the one that segments read.

    Args:
        values: By profile: (value, label); the label is "" where the model predicts a number.
        program: What is live: its conditions say whom the run matters to.
        write: Runs a function in a write transaction.
        now: When those are due.
        run: One that is written down already and has no rows yet; without it a new one.
        details: JSON by profile of what more there is to say, for some of them.
    Raises:
        UsageError: If there is nothing to publish.
        StoreError: If another run of the model was published meanwhile.
    """
    if not values:
        raise UsageError(f'there is nobody in this run of "{model}", so the one before it stays')
    profiling = Profiling() if program is None else program.profiling
    n_before = len(values)
    with database.read() as connection:
        left_out = scores.nobodys(connection, list(values), profiling)
    values = {who: said for who, said in values.items() if who not in left_out}
    n_refused = n_before - len(values)
    if not values:
        raise UsageError(
            f'everybody in this run of "{model}" refuses to be profiled ({profiling.trait}), so '
            "the one before it stays"
        )
    ranked = array("d", sorted(value for value, _ in values.values()))
    if run is None:
        run = write(lambda connection: scores.begin(connection, model, kind=kind, now=now))
    number: int = run
    rows = _scored(values, ranked, number, details)
    while batch := list(islice(rows, scores.BATCH)):
        write(partial(scores.add, model=model, run=number, rows=batch, profiling=profiling))
    cuts = cuts_of(program).get(model, []) if program is not None else []
    with database.read() as connection:
        champion = scores.champion_of(connection, model)
        woken = list(_changed(connection, values, ranked, model, champion, cuts))

    def crowned(connection: Connection) -> None:
        scores.crown(
            connection,
            model,
            number,
            instead_of=champion,
            cuts=cut_values(ranked),
            wake=woken,
            now=now,
        )

    write(crowned)
    sweep(database, model, number, write=write)
    return Published(model, number, kind, len(values), n_unknown, len(woken), n_refused)


def load_file(
    database: Database,
    path: str,
    *,
    model: str,
    program: Program | None,
    write: Write,
    now: Instant,
) -> Published:
    """Publish the run that a file holds: user_id,value or user_id,value,label.

    Raises:
        UsageError: If the file cannot be read, with every bad row's line; nothing is published.
    """
    kind, rows = read_scores(path)
    found: dict[int, tuple[float, str]] = {}
    n_unknown = 0
    with database.read() as connection:
        for start in range(0, len(rows), scores.BATCH):
            some: Sequence[Scored] = rows[start : start + scores.BATCH]
            known = identities.find(connection, "user", [row.user for row in some])
            for row in some:
                profile_id = known.get(row.user)
                if profile_id is None:
                    n_unknown += 1
                else:
                    found[profile_id] = (row.value, row.label)
    if not found:
        raise UsageError(f"{path}: it names {len(rows):,} people, and none of them is known here")
    return publish(
        database, found, model=model, kind=kind, program=program, write=write, now=now,
        n_unknown=n_unknown,
    )  # fmt: skip


def load_payload(
    database: Database, payload: Any, *, playbook: Playbook | None, write: Write, now: Instant
) -> dict[str, Any]:
    """`load_file` for {"model": …, "path": …}; the result as plain data.

    Raises:
        UsageError: If the model's name or the file is wrong.
    """
    model, path = payload.get("model"), payload.get("path")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise UsageError(f'"{str(model)[:64]}" is no model\'s name. Use a-z, 0-9, - and _: churn')
    if not isinstance(path, str):
        raise UsageError("no file is named")
    program = None if playbook is None else playbook.program
    done = load_file(database, path, model=model, program=program, write=write, now=now)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain


def cut_values(ranked: Sequence[float]) -> list[float | None]:
    """For each percentile from 0 to 99 the least value that reaches it; None where none does.

    A value's percentile is how many of a hundred in the run lie strictly below it.

    >>> cut_values([0.1, 0.2, 0.2, 0.9])[25:27], cut_values([0.1, 0.2, 0.2, 0.9])[75:77]
    ([0.2, 0.9], [0.9, None])
    """
    cuts: list[float | None] = []
    for percent in range(CUTS):
        at = -(-percent * len(ranked) // CUTS)
        while at < len(ranked) and bisect_left(ranked, ranked[at]) < at:
            at = bisect_right(ranked, ranked[at])
        cuts.append(ranked[at] if at < len(ranked) else None)
    return cuts


def percentile_of(value: float, ranked: Sequence[float]) -> float:
    """How many of a hundred in the run lie strictly below a value: 0 to under 100."""
    return 100 * bisect_left(ranked, value) / len(ranked)


def _scored(
    values: Mapping[int, tuple[float, str]],
    ranked: Sequence[float],
    run: int,
    details: Mapping[int, str],
) -> Iterator[tuple[int, Score, str]]:
    for profile_id in sorted(values):
        yield profile_id, _score(values[profile_id], ranked, run), details.get(profile_id, "")


def _score(value: tuple[float, str], ranked: Sequence[float], run: int) -> Score:
    return Score(value[0], percentile_of(value[0], ranked), value[1], run)


def _changed(
    connection: Connection,
    values: Mapping[int, tuple[float, str]],
    ranked: Sequence[float],
    model: str,
    champion: int | None,
    cuts: Sequence[Cut],
) -> Iterator[int]:
    """The profiles for whom any cut says something else than it did."""
    if not cuts:
        return
    met: set[int] = set()
    for page in scores.pages(connection, model, champion) if champion is not None else ():
        for profile_id, was, _ in page:
            met.add(profile_id)
            value = values.get(profile_id)
            score = None if value is None else _score(value, ranked, 0)
            if any(cut(was) is not cut(score) for cut in cuts):
                yield profile_id
    for profile_id in values:
        if profile_id not in met:
            score = _score(values[profile_id], ranked, 0)
            if any(cut(None) is not cut(score) for cut in cuts):
                yield profile_id


def bereft(connection: Connection, model: str, run: int, *, program: Program | None) -> list[int]:
    """The profiles for whom some condition says something else once a run is read no more."""
    cuts = cuts_of(program).get(model, []) if program is not None else []
    return list(_changed(connection, {}, [], model, run, cuts))


def sweep(database: Database, model: str, run: int, *, write: Write) -> None:
    """Delete the rows of runs before this one that nobody will read again."""
    with database.read() as connection:
        unread = scores.unread_runs(connection, model, before=run)
    for each in unread:
        while write(partial(scores.sweep, model=model, run=each)):
            pass


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every run as plain data, by model, the newest first; swept ones are left out."""
    return [
        {
            "model": it.model,
            "run": it.run,
            "kind": it.kind,
            "status": it.status,
            "created_at": it.created_at,
            "n_scores": it.n_scores,
            "top_decile_from": it.cuts[90] if len(it.cuts) > 90 else None,
        }
        for it in scores.runs(connection)
        if it.status != "swept"
    ]
