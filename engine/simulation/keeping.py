"""Where a rehearsal plays: on a database that is gone afterwards, or in a folder that stays.

A folder that stays is made beside its place and moved there when the rehearsal is whole, so that a
run which fails or is stopped leaves nothing, and an older rehearsal is lost only to a newer one.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.rehearsed import Mark, leave, mark_of
from engine.settings import DIRECTORY, read_settings
from engine.simulation.replay import throwaway
from engine.store.database import Database
from engine.store.migrate import upgrade
from engine.vault import Vault

IGNORED: Final = "# A rehearsal's database, secret and reports: never committed.\n.antiphon/\n"


@dataclass(frozen=True)
class Place:
    """What a rehearsal plays on; `folder` stays if `is_kept`."""

    database: Database
    vault: Vault
    folder: Path
    is_kept: bool

    def leave(self, mark: Mark) -> None:
        """Mark what stays as what it is, its pages too."""
        with self.database.write() as connection:
            leave(self.folder, connection, mark)


@contextmanager
def passing() -> Iterator[Place]:
    """A place that is gone when the block ends."""
    with throwaway() as (database, vault, folder):
        yield Place(database, vault, folder, is_kept=False)


def require_room(directory: Path, *, is_forced: bool) -> None:
    """Refuse a folder that holds anything but an older rehearsal that may go.

    Raises:
        UsageError: If it does.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    older = mark_of(directory) if directory.is_dir() else None
    if older is None:
        raise UsageError(f'"{directory}" exists and is not empty. Name a new folder')
    if not is_forced:
        raise UsageError(
            f'"{directory}" is {older.said()}. Name a new folder, or replace it with --force'
        )


@contextmanager
def staying(directory: Path, workspace: Workspace, *, is_forced: bool) -> Iterator[Place]:
    """A place that becomes the folder when the block ends well.

    Raises:
        UsageError: If the folder holds anything but an older rehearsal that may go.
    """
    require_room(directory, is_forced=is_forced)
    target = directory.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as unfinished:
        folder = Path(unfinished) / target.name
        _copy(workspace, folder)
        _keep_secret(folder)
        # What the environment says is meant for the workspace itself.
        settings = read_settings(folder, environ={})
        vault = Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        # A power cut costs the run, not what anybody relies on: it is made again.
        database = Database(settings.database_url, is_throwaway=True)
        try:
            upgrade(database)
            yield Place(database, vault, folder, is_kept=True)
        finally:
            database.close()
        require_room(directory, is_forced=is_forced)
        if target.exists():
            target.rename(Path(unfinished) / "older")
        folder.rename(target)


def _copy(workspace: Workspace, folder: Path) -> None:
    """The files that were read, as they were read."""
    for name, content in workspace.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / ".gitignore").write_text(IGNORED)


def _keep_secret(folder: Path) -> None:
    """A secret of its own, made here: the usual word about a new one would be of a passing path."""
    own = folder / DIRECTORY
    own.mkdir(mode=0o700)
    path = own / "secret"
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(48))
