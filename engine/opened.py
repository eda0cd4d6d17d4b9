"""A workspace's database as commands open it: settings, schema, secrets, closed again after."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.address_form import bring_addresses_up, is_up_to_date
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.release.live import load_playbook
from engine.release.playbook import Playbook
from engine.settings import DIRECTORY, REHEARSAL, Settings, read_settings, variable
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.migrate import require_current, upgrade
from engine.vault import Vault

T = TypeVar("T")


class Opened(NamedTuple):
    """What a command works on."""

    settings: Settings
    database: Database
    vault: Vault

    def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in a transaction of its own and give its result, committed."""
        with self.database.write() as connection:
            return change(connection)

    def playbook(self, *, environ: Mapping[str, str] | None = None) -> Playbook:
        """The live release.

        Args:
            environ: Where `${env:NAME}` looks; None, for whoever only reads, needs no secret.
        Raises:
            UsageError: If nothing was applied yet.
        """
        found = self.try_playbook(environ=environ)
        if found is None:
            raise nothing_applied(self.settings.directory)
        return found

    def try_playbook(self, *, environ: Mapping[str, str] | None = None) -> Playbook | None:
        """The live release, or None if nothing was applied yet."""
        return load_playbook(self.database, vault=self.vault, environ=environ)


def nothing_applied(directory: Path) -> UsageError:
    """What a command says that needs a live release where there is none."""
    return UsageError(f'nothing is applied in "{directory}" yet. Run: antiphon apply')


@contextmanager
def opened(directory: Path, *, read_only: bool = False) -> Iterator[Opened]:
    """Open the database of a workspace.

    Args:
        read_only: For commands that only look: they may run beside `serve`.
    Raises:
        UsageError: If the folder is no workspace, or (read only) has no database yet.
        StoreError: If the database is of another version, or none at all.
    """
    is_elsewhere = _is_elsewhere(directory)
    _require_workspace(directory, is_elsewhere=is_elsewhere)
    if read_only and is_untouched(directory):
        raise nothing_applied(directory)
    settings = read_settings(directory)
    database = Database(settings.database_url, read_only=read_only)
    try:
        if read_only:
            require_current(database)
        else:
            upgrade(database)
        found = Opened(
            settings, database, Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        )
        if not read_only:
            _keep_addresses_found(found)
        yield found
    finally:
        database.close()


def _keep_addresses_found(it: Opened) -> None:
    """Bring hashed addresses to their present form; nothing is written where they have it."""
    with it.database.read() as connection:
        if is_up_to_date(connection):
            return
    it.write(lambda connection: bring_addresses_up(connection, it.vault))


def is_untouched(directory: Path) -> bool:
    """Whether a workspace has no database yet, nor one elsewhere."""
    return not _is_elsewhere(directory) and not (directory / DIRECTORY / "antiphon.db").exists()


def _is_elsewhere(directory: Path) -> bool:
    if (directory / DIRECTORY / REHEARSAL).exists():
        return False  # its database is its own, whatever the environment says
    return bool(os.environ.get(variable("database_url"), "").strip())


def _require_workspace(directory: Path, *, is_elsewhere: bool) -> None:
    """Refuse a folder that is no workspace before anything is created in it."""
    if is_elsewhere:
        return  # a database of its own needs no files; a missing folder is named by the settings
    if not directory.is_dir():
        raise UsageError(
            f'"{directory}" is not a folder. Name the folder of a workspace, or make one: '
            "antiphon init DIR"
        )
    if not (directory / "antiphon.yaml").exists() and not (directory / DIRECTORY).exists():
        raise UsageError(
            f'"{directory}" is no workspace: there is no antiphon.yaml in it. Name the folder of '
            "a workspace, or make one: antiphon init DIR"
        )


def instant(text: str | None, *, default: Instant) -> Instant:
    """A TIME of the command line: ISO 8601 with zone, or "now".

    Raises:
        UsageError: If it is neither.
    """
    from engine.core.clocktime import parse_instant

    if text is None or text == "now":
        return default
    try:
        return parse_instant(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
