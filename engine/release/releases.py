"""The releases of a database: what was played, since when, and the files it came from.

A release is one state of what is played. Applying files makes one, and so does an operator who
pauses a campaign: its files are then those of the release before, found by their digest.
Read next: `publish`, which makes them; `live`, which compiles the newest.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from campaigns.compile import Phase
from campaigns.load import load_bundle
from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.store.connection import Connection, Row

Kind = Literal["apply", "rollback", "operation"]

SUMMARY_MAX: Final = 50
"""Changes that a release remembers in words; the plan showed them all."""

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_texts: Final = msgspec.json.Decoder(list[str])
_COLUMNS: Final = "number, digest, applied_at, kind, summary"


class Release(NamedTuple):
    """One release. `digest` is that of its files, `summary` what changed, in words."""

    number: int
    digest: str
    applied_at: Instant
    kind: Kind
    summary: tuple[str, ...]


def live(connection: Connection) -> Release | None:
    """The release that is played now; None before the first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM release ORDER BY number DESC LIMIT 1")
    return _release(rows[0]) if rows else None


def history(connection: Connection, *, limit: int) -> list[Release]:
    """The newest releases, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM release ORDER BY number DESC LIMIT ?", (limit,)
    )
    return [_release(row) for row in rows]


def release_of(connection: Connection, number: int) -> Release:
    """One release by its number.

    Raises:
        UsageError: If there is none.
    """
    rows = connection.execute(f"SELECT {_COLUMNS} FROM release WHERE number = ?", (number,))
    if not rows:
        newest = live(connection)
        there = f"there are 1 to {newest.number}" if newest else "nothing was ever applied"
        raise UsageError(f"there is no release {number}; {there}. See: antiphon releases")
    return _release(rows[0])


def before(connection: Connection, release: Release) -> Release:
    """The last release before this one that held other files.

    Raises:
        UsageError: If there is none.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM release WHERE number < ? AND digest <> ? "
        "ORDER BY number DESC LIMIT 1",
        (release.number, release.digest),
    )
    if not rows:
        raise UsageError(f"release {release.number} holds the first files; nothing is before them")
    return _release(rows[0])


def workspace_of(
    connection: Connection, digest: str, *, environ: Mapping[str, str] | None = None
) -> Workspace:
    """The files of a digest, read and checked.

    Args:
        environ: Where `${env:NAME}` looks; None, for whoever sends nothing, needs no secret.
    Raises:
        CampaignError: If a variable is missing.
    """
    rows = connection.execute(
        "SELECT bundle FROM release WHERE digest = ? AND length(bundle) > 0 "
        "ORDER BY number DESC LIMIT 1",
        (digest,),
    )
    files = _unpack(zlib.decompress(bytes(rows[0][0])))
    return load_bundle(files, environ=environ, is_checked=True)


def record(
    connection: Connection,
    *,
    digest: str,
    files: Mapping[str, bytes] | None,
    kind: Kind,
    summary: Sequence[str],
    now: Instant,
) -> int:
    """Make the next release the live one, within the caller's transaction; gives its number.

    Args:
        files: None where an earlier release holds the same ones.
    """
    newest = live(connection)
    number = 1 if newest is None else newest.number + 1
    if len(summary) > SUMMARY_MAX:
        summary = [*summary[:SUMMARY_MAX], f"and {len(summary) - SUMMARY_MAX} more"]
    bundle = b"" if files is None else zlib.compress(_pack(dict(files)))
    connection.execute(
        "INSERT INTO release (number, digest, applied_at, bundle, kind, summary) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (number, digest, now, bundle, kind, msgspec.json.encode(list(summary)).decode()),
    )
    return number


def current_phases(connection: Connection) -> dict[str, Phase]:
    """The latest phase of every experiment that ever ran."""
    rows = connection.execute(
        "SELECT experiment, phase, seed, digest, definition FROM experiment_phase ORDER BY phase"
    )
    return {
        name: Phase(number, seed, digest, _covered.decode(definition).coverage)
        for name, number, seed, digest, definition in rows
    }


class _Covered(Struct):
    """The part of a phase's definition that may grow."""

    coverage: float = 1.0


_covered: Final = msgspec.json.Decoder(_Covered)


def holds(connection: Connection, digest: str) -> bool:
    """Whether some release holds the files of this digest."""
    rows = connection.execute(
        "SELECT count(*) FROM release WHERE digest = ? AND length(bundle) > 0", (digest,)
    )
    return bool(rows[0][0])


def _release(row: Row) -> Release:
    return Release(int(row[0]), row[1], int(row[2]), row[3], tuple(_texts.decode(row[4])))
