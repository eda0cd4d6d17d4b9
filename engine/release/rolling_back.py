"""Going back to the files of an earlier release, as a new one.

Whoever came in meanwhile finishes on the version they came in on: a rollback is made in a hurry,
so it moves nobody, strands nobody and is never refused for the people inside.
"""

from collections.abc import Callable, Mapping
from typing import Any

from campaigns.declarations import Blind
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.release import releases
from engine.release.planning import Plan, as_written, plan
from engine.release.publish import Write, publish
from engine.release.releases import Release
from engine.store.connection import Connection
from engine.store.database import Database


def target(connection: Connection, to: int | None) -> Release:
    """The release to go back to: the one named, else the last that held other files.

    Raises:
        UsageError: If there is no such release.
    """
    live = releases.live(connection)
    if live is None:
        raise UsageError("nothing was ever applied, so there is nothing to go back to")
    return releases.before(connection, live) if to is None else releases.release_of(connection, to)


def planned(
    connection: Connection, to: int | None, *, now: Instant, blind: Blind = as_written
) -> tuple[Release, Plan]:
    """The release to go back to, and what going back would change."""
    release = target(connection, to)
    workspace = releases.workspace_of(connection, release.digest)
    return release, plan(connection, workspace, now=now, blind=blind, is_rollback=True)


def roll_back(
    database: Database,
    to: int | None,
    *,
    write: Write,
    now: Callable[[], Instant],
    environ: Mapping[str, str],
    blind: Blind = as_written,
) -> dict[str, Any]:
    """Make an earlier release's files live again; as plain data, with its number in `to`.

    Raises:
        UsageError: If there is no such release, or a secret its channels need is gone.
    """
    with database.read() as connection:
        release = target(connection, to)
        workspace = releases.workspace_of(connection, release.digest, environ=environ)
    done = publish(database, workspace, write=write, now=now, blind=blind, kind="rollback")
    return {**done, "to": release.number}
