"""From the store to the lake, in batches: only the columns and names that a statement reads.

What was is read from the log and the ledger, what is from the rows of the people, which know what
no event said (an `update` step, a merge). An event that is accepted but not yet played stands over
those rows, so the answer is as fresh as the log. Zones, ids and lists are today's at any instant,
as in `asof`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from engine.consent.unsubscribe import WITHDRAWN
from engine.core.features.sessions import NOT_BEHAVIOUR
from engine.core.model.campaigns import Profiling
from engine.core.model.instants import NEVER, Instant
from engine.segment_sql.lake import Lake
from engine.segment_sql.plan import EVERY_EVENT, Needs
from engine.store.connection import Connection, Row
from engine.store.events import MERGE, EventLog, event_tables
from engine.store.scores import WAS_READ
from engine.tables import CONTACT_CLOSED

BATCH: Final = 20_000
"""Rows held in Python at a time."""

_STAGES: Final = {
    "born": "profile_id BIGINT, happened BIGINT",
    "met": "profile_id BIGINT, external_id VARCHAR, zone VARCHAR, happened BIGINT",
    "reached": "profile_id BIGINT, channel VARCHAR, hash VARCHAR",
    "closed": "hash VARCHAR, topic VARCHAR",
}
"""Tables of the lake that others are joined from."""

_USUAL: Final = Profiling()
_texts: Final = msgspec.json.Decoder(dict[str, str])
_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_consent: Final = msgspec.json.Decoder(dict[str, dict[str, bool]])
_topics: Final = msgspec.json.Decoder(list[str])
_sealed: Final = msgspec.json.Decoder(dict[str, Any])


def pour(
    connection: Connection,
    lake: Lake,
    needs: Needs,
    *,
    instants: Sequence[Instant],
    present: Instant,
    profiling: Profiling = _USUAL,
) -> None:
    """Fill an empty lake with all that a statement may read to be asked of these instants.

    Args:
        present: Now: from then on, what is known of people beside their events holds.
        profiling: Who has no score at any instant, by what they said last.
    """
    if needs.models:
        needs = replace(needs, traits=needs.traits | {profiling.trait})
    _pour_people(connection, lake, needs, present)
    if min(instants) < present:
        _pour_births(connection, lake)
    lake.duck.execute(
        "INSERT INTO profiles SELECT profile_id, external_id, zone, "
        "least(met.happened, coalesce(min(born.happened), met.happened)) "
        "FROM met LEFT JOIN born USING (profile_id) "
        "GROUP BY profile_id, external_id, zone, met.happened"
    )
    for rows in _events(connection, needs):
        lake.append("events", rows)
    if needs.traits or needs.has_consent:
        _pour_changes(connection, lake, needs)
    if needs.has_consent:
        _pour_withdrawals(connection, lake, present)
    if needs.models:
        _pour_scores(connection, lake, sorted(needs.models), instants)
        _forget_unprofiled(lake, profiling)


# --- events --------------------------------------------------------------------------------------


def _events(connection: Connection, needs: Needs) -> Iterator[list[Row]]:
    if not needs.events:
        return
    wanted = set().union(*needs.events.values())
    columns = [name if name in wanted else "'{}'" for name in ("properties", "context")]
    named = sorted(needs.events.keys() - {EVERY_EVENT})
    where, params = f"name IN ({_marks(named)})", named
    if EVERY_EVENT in needs.events:
        ours = sorted(NOT_BEHAVIOUR - set(named))
        where, params = f"name NOT IN ({_marks(ours)})" if ours else "1 = 1", ours
    read = ["profile_id", "seq", "name", "at", *columns]
    yield from read_log(connection, read, where, params, seq=1)


def read_log(
    connection: Connection,
    columns: Sequence[str],
    where: str,
    params: Sequence[Any],
    *,
    seq: int,
) -> Iterator[list[Row]]:
    """Rows of the log in order, `seq` being the place of that column; merges are no event."""
    log, position = EventLog(), 0
    while rows := log.read_after(
        connection,
        position,
        limit=BATCH,
        columns=columns,
        where=f"{where} AND flags & {MERGE} = 0",
        params=params,
    ):
        yield rows
        position = rows[-1][seq]


# --- people --------------------------------------------------------------------------------------


def _pour_people(connection: Connection, lake: Lake, needs: Needs, present: Instant) -> None:
    for table, columns in _STAGES.items():
        lake.duck.execute(f"CREATE TABLE {table} ({columns})")
    positions: dict[int, int] = dict(connection.execute("SELECT number, position FROM partition"))
    for rows in _by_id(
        connection,
        "SELECT id, external_id, zone, created_at, traits, consent, addresses FROM profile "
        "WHERE merged_into IS NULL AND erased_at IS NULL AND id > ? ORDER BY id LIMIT ?",
    ):
        lake.append("met", [row[:4] for row in rows])
        now = [
            (row[0], 2 * positions.get(row[0] % max(1, len(positions)), 0) + 1, present, *row[4:6])
            for row in rows
        ]
        _take_changes(lake, needs, now)
        if needs.has_consent:
            reached = [(row[0], _texts.decode(row[6])) for row in rows if row[6] != "{}"]
            lake.append("reached", [
                (profile_id, channel, hash)
                for profile_id, addresses in reached for channel, hash in addresses.items()
            ])  # fmt: skip


def _pour_births(connection: Connection, lake: Lake) -> None:
    """When each profile's history begins, which may be before we met them."""
    for table in event_tables(connection):
        for rows in _by_id(
            connection,
            f"SELECT profile_id, min(at) FROM {table} WHERE profile_id > ? "
            "GROUP BY profile_id ORDER BY profile_id LIMIT ?",
        ):
            lake.append("born", rows)


def _pour_changes(connection: Connection, lake: Lake, needs: Needs) -> None:
    """What events said of traits and consent, each from when it was said."""
    columns = ("profile_id", "seq", "at", "accepted_at", "traits")
    for rows in read_log(connection, columns, "traits IS NOT NULL", (), seq=1):
        _take_changes(
            lake,
            needs,
            [(row[0], 2 * row[1], min(row[2], row[3]), row[4], None) for row in rows],
        )


_Change = tuple[int, int, Instant, str, str | None]
"""(profile_id, place, happened, traits, consent) as they stand in a row of the store."""


def _take_changes(lake: Lake, needs: Needs, changes: Iterable[Sequence[Any]]) -> None:
    traits: list[Row] = []
    consents: list[Row] = []
    for profile_id, place, happened, text, consent in changes:
        values = _raw.decode(text) if text != "{}" else {}
        for name in needs.traits & values.keys():
            traits.append((profile_id, name, _unsealed(bytes(values[name])), happened, place))
        if needs.has_consent:
            given = consent if consent is not None else values.get("$consent", b"{}")
            consents += [
                (profile_id, channel, topic, is_granted, happened, place)
                for channel, topics in _consent.decode(given).items()
                for topic, is_granted in topics.items()
            ]
    lake.append("traits", traits)
    lake.append("consents", consents)


def _unsealed(value: bytes) -> str:
    """A trait as the core sees it: of one that is sealed only its mark."""
    if value.startswith(b"{") and b'"$sealed"' in value:
        found = _sealed.decode(value)
        if "$sealed" in found:
            return msgspec.json.encode(found["$blind"]).decode()
    return value.decode()


def _pour_withdrawals(connection: Connection, lake: Lake, present: Instant) -> None:
    """What addresses have withdrawn by now, and what the ledger dates: one's own, by a link."""
    for rows in _by_id(
        connection,
        "SELECT id, profile_id, channel, topic, at FROM consent_change "
        f"WHERE {WITHDRAWN} AND id > ? ORDER BY id LIMIT ?",
    ):
        lake.append("withdrawn", [row[1:] for row in rows])
    after = b""
    while rows := connection.execute(
        f"SELECT address_hash, withdrawn FROM contact WHERE {CONTACT_CLOSED} "
        "AND address_hash > ? ORDER BY address_hash LIMIT ?",
        (after, BATCH),
    ):
        lake.append("closed", [
            (bytes(row[0]).hex(), topic) for row in rows for topic in _topics.decode(row[1])
        ])  # fmt: skip
        after = bytes(rows[-1][0])
    lake.duck.execute(
        "INSERT INTO withdrawn SELECT profile_id, channel, topic, $present "
        "FROM reached JOIN closed USING (hash)",
        {"present": present},
    )


def _pour_scores(
    connection: Connection, lake: Lake, models: Sequence[str], instants: Sequence[Instant]
) -> None:
    """The rows of each run that was champion at any of the instants, and from when until when."""
    runs = connection.select_in(
        f"SELECT model, run, created_at FROM model_run WHERE model IN (?) AND {WAS_READ} "
        "ORDER BY model, run",
        models,
    )
    if not runs:
        return
    for (model, run, since), after in zip(runs, [*runs[1:], ("", 0, NEVER)], strict=True):
        until = after[2] if after[0] == model else NEVER
        if any(since <= at < until for at in instants):
            for rows in _by_id(
                connection,
                "SELECT profile_id, model, value, percentile, label FROM model_score "
                "WHERE model = ? AND run = ? AND profile_id > ? ORDER BY profile_id LIMIT ?",
                (model, run),
            ):
                lake.append("scores", [(*row, since, until) for row in rows])


def _forget_unprofiled(lake: Lake, profiling: Profiling) -> None:
    """Whoever refuses has no score, also where the refusal is not played yet."""
    lake.duck.execute(
        "DELETE FROM scores WHERE profile_id NOT IN (SELECT profile_id FROM profiles LEFT JOIN "
        "(SELECT profile_id, CAST(arg_max(value, place) AS VARCHAR) AS said FROM traits "
        "WHERE name = $trait GROUP BY profile_id) USING (profile_id) "
        "WHERE coalesce(said, 'null') = 'true' OR (coalesce(said, 'null') = 'null' AND $silent))",
        {"trait": profiling.trait, "silent": profiling.unknown == "allow"},
    )


def _by_id(connection: Connection, sql: str, params: Sequence[Any] = ()) -> Iterator[list[Row]]:
    """Pages of a statement whose last two values are the id after which, and how many."""
    after = 0
    while rows := connection.execute(sql, (*params, after, BATCH)):
        yield rows
        after = rows[-1][0]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
