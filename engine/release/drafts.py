"""The rows of a backfill: how far it is, what it has drafted, and whom it must not leave alone.

At most one release is being prepared. Its drafts are written in batches (`backfill`), marked by
the loop that plays meanwhile (`note`), taken up by each profile at its next play (`rebuild`). What
makes the marks complete: preparing and playing happen in one thread, or under one claim.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from engine.core.model.instants import Instant
from engine.release.releases import Kind
from engine.store import bulk
from engine.store.connection import Connection

PROFILES_AT_ONCE: Final = 10_000
"""With fewer people a release goes live at once and each builds what it lacks when it is played:
a second of work, which no one needs to see prepared."""

Stage = Literal["preparing", "waking", "settling", "refused"]
_COLUMNS: Final = (
    "id", "stage", "kind", "why", "bundle", "digest", "features", "after", "last", "release",
    "since",
)  # fmt: skip

_keys: Final = msgspec.json.Decoder(frozenset[str])
_features: Final = msgspec.msgpack.Decoder(dict[str, Any])
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(dict[str, bytes]).decode


class Backfill(NamedTuple):
    """A release under way (see `tables.Backfill`)."""

    id: int
    stage: Stage
    kind: Kind
    why: str
    digest: str
    keys: frozenset[str]
    after: int
    last: int
    release: int
    since: Instant

    @property
    def done_share(self) -> float:
        """How much of the preparing is done, in [0, 1]; 1 once the release is live."""
        if self.is_live:
            return 1.0
        return min(1.0, self.after / self.last) if self.last else 1.0

    @property
    def is_live(self) -> bool:
        return self.stage in ("waking", "settling")

    @property
    def words(self) -> str:
        """For instance "backfilling 43 %"; "" once the release is live."""
        if self.stage == "refused":
            return f"not live: {self.why}"
        return "" if self.is_live else f"backfilling {int(self.done_share * 100)} %"


class Drafted(NamedTuple):
    """Drafts of one batch of profiles, in the order of `ids`.

    Attributes:
        positions: Per profile the last event of others that is folded; `seq` the last of our own.
        concerned: Whom going live changes at once.
        last: The last profile looked at; None if there was none left.
    """

    ids: list[int]
    drafts: list[bytes]
    positions: list[int]
    seq: int
    concerned: frozenset[int]
    last: int | None


class Draft(NamedTuple):
    """What was drafted of one profile: every event up to `position`, our own up to `seq`."""

    position: int
    seq: int
    features: dict[str, Any]


def is_worth_preparing(connection: Connection) -> bool:
    """Whether so many people have a past that new features must be built beforehand."""
    rows = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM profile_state LIMIT {PROFILES_AT_ONCE}) AS many"
    )
    return int(rows[0][0]) >= PROFILES_AT_ONCE


def begin(
    connection: Connection,
    *,
    kind: Kind,
    digest: str,
    files: Mapping[str, bytes],
    now: Instant,
) -> None:
    """Start to prepare a release; another that was being prepared is given up.

    The same files that are being prepared already go on from where they are.
    """
    under_way = current(connection)
    if under_way is not None and (under_way.stage, under_way.digest) == ("preparing", digest):
        return
    abandon(connection, now=now)
    # Whoever is committing a batch is waited for: from then on every batch sees our row (`note`).
    connection.execute("UPDATE partition SET epoch = epoch")
    last = connection.execute("SELECT max(profile_id) FROM profile_state")[0][0] or 0
    number = bulk.reserve(connection, "backfill", 1)
    bulk.insert(
        connection,
        "backfill",
        _COLUMNS,
        [
            (
                number,
                "preparing",
                kind,
                "",
                zlib.compress(_pack(dict(files))),
                digest,
                "[]",
                0,
                int(last),
                0,
                now,
            )
        ],
    )


def supersede(connection: Connection) -> None:
    """Give up what is being prepared: another word was said since. What is live already goes on."""
    it = current(connection)
    if it is not None and not it.is_live:
        reset(connection)


def abandon(connection: Connection, *, now: Instant) -> None:
    """Drop what was drafted. Whom a release concerns that is live already is still woken."""
    it = current(connection)
    if it is None:
        return
    if it.stage != "preparing":
        connection.execute(
            "INSERT INTO timer (due, profile_id) SELECT CAST(? AS bigint), profile_id FROM draft "
            "WHERE concerns = 1 ON CONFLICT DO NOTHING",
            (now,),
        )
    reset(connection)


def current(connection: Connection) -> Backfill | None:
    """The release under way, or None."""
    rows = connection.execute(
        'SELECT id, stage, kind, why, digest, features, "after", last, release, since FROM backfill'
    )
    if not rows:
        return None
    number, stage, kind, why, digest, features, *rest = rows[0]
    return Backfill(number, stage, kind, why, digest, _keys.decode(features), *rest)


def files_of(connection: Connection, it: Backfill) -> dict[str, bytes]:
    """The workspace that is being prepared."""
    rows = connection.execute("SELECT bundle FROM backfill WHERE id = ?", (it.id,))
    return _unpack(zlib.decompress(bytes(rows[0][0])))


def move(connection: Connection, it: Backfill, *, stage: Stage, after: int) -> bool:
    """Note how far a backfill has come, in the transaction of the work itself.

    False, and nothing noted, if another process was faster or the backfill was given up: the work
    must not be committed then.
    """
    rows = connection.execute(
        'UPDATE backfill SET stage = ?, "after" = ? '
        'WHERE id = ? AND stage = ? AND "after" = ? RETURNING id',
        (stage, after, it.id, it.stage, it.after),
    )
    return bool(rows)


def went_live(
    connection: Connection, it: Backfill, *, release: int, features: Iterable[str], now: Instant
) -> None:
    """Note under which number it is live now and which features were drafted, in the transaction
    that makes it so."""
    connection.execute(
        "UPDATE backfill SET release = ?, features = ?, since = ? WHERE id = ?",
        (release, msgspec.json.encode(sorted(features)).decode(), now, it.id),
    )


def refuse(connection: Connection, it: Backfill, *, why: str) -> None:
    """Note why a release cannot go live. The one before it stays."""
    connection.execute("DELETE FROM draft")
    connection.execute("UPDATE backfill SET stage = 'refused', why = ? WHERE id = ?", (why, it.id))


def write(connection: Connection, drafted: Drafted) -> None:
    """Write the drafts of a batch. Whoever was played meanwhile has a mark, and no draft."""
    bulk.insert(
        connection,
        "draft",
        ("profile_id", "position", "seq", "concerns", "features"),
        [
            (each, position, drafted.seq, int(each in drafted.concerned), features)
            for each, position, features in zip(
                drafted.ids, drafted.positions, drafted.drafts, strict=True
            )
        ],
        on_conflict="ignore",
    )


def follow(
    connection: Connection, *, played: Iterable[int], met: Collection[int], release: int
) -> None:
    """What a batch of this release means for a backfill, in its transaction.

    Args:
        played: Whose states it writes.
        met: Those of them who met the release: what was drafted of them is spent.
    """
    it = current(connection)
    if it is None or it.stage == "refused":
        return
    drop(connection, met)
    if it.stage == "preparing" or release < it.release:
        note(connection, played)


def note(connection: Connection, ids: Iterable[int]) -> None:
    """Mark who was played by the release before: what was found to concern them is old news."""
    bulk.insert(
        connection,
        "draft",
        ("profile_id", "position", "seq", "concerns", "features"),
        [(profile_id, 0, 0, 1, None) for profile_id in ids],
        on_conflict=("concerns",),
    )


def read(connection: Connection, ids: Sequence[int]) -> dict[int, Draft]:
    """What is drafted of these profiles."""
    rows = connection.select_in(
        "SELECT profile_id, position, seq, features FROM draft "
        "WHERE profile_id IN (?) AND features IS NOT NULL",
        ids,
    )
    return {row[0]: Draft(row[1], row[2], _features.decode(row[3])) for row in rows}


def drop(connection: Connection, ids: Iterable[int]) -> None:
    """Forget the drafts of profiles that took theirs up, or were merged, or are gone."""
    bulk.delete(connection, "draft", ("profile_id",), [(each,) for each in ids])


def n_concerned(connection: Connection) -> int:
    """How many people going live changes at once."""
    return int(connection.execute("SELECT count(*) FROM draft WHERE concerns = 1")[0][0])


def next_ids(connection: Connection, after: int, *, limit: int, concerned_only: bool) -> list[int]:
    """The next profiles with a draft, or of these only whom the release concerns."""
    which = "AND concerns = 1 " if concerned_only else ""
    rows = connection.execute(
        f"SELECT profile_id FROM draft WHERE profile_id > ? {which}ORDER BY profile_id LIMIT ?",
        (after, limit),
    )
    return [int(row[0]) for row in rows]


def wake(connection: Connection, ids: Sequence[int], *, now: Instant) -> None:
    """Make these profiles due: each meets the live release when its turn comes."""
    bulk.insert(
        connection,
        "timer",
        ("due", "profile_id"),
        [(now, profile_id) for profile_id in ids],
        on_conflict="ignore",
    )


def reset(connection: Connection) -> None:
    """The backfill is over: nothing of it is left."""
    connection.execute("DELETE FROM draft")
    connection.execute("DELETE FROM backfill")
