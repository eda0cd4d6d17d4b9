"""A workspace's database as commands open it: settings, schema, secrets, closed again after."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.core.errors import UsageError
from engine.core.model import Instant
from engine.playbook import Playbook
from engine.publish import load_playbook
from engine.settings import Settings, read_settings
from engine.store.database import Database
from engine.store.migrate import require_current, upgrade
from engine.vault import Vault


class Opened(NamedTuple):
    """What a command works on."""

    settings: Settings
    database: Database
    vault: Vault

    def playbook(self) -> Playbook:
        """The live release.

        Raises:
            UsageError: If nothing was applied yet.
        """
        found = load_playbook(self.database, vault=self.vault, environ=os.environ)
        if found is None:
            raise UsageError(
                f'nothing is applied in "{self.settings.directory}" yet. Run: antiphon apply'
            )
        return found


@contextmanager
def opened(directory: Path, *, read_only: bool = False) -> Iterator[Opened]:
    """Open the database of a workspace.

    Args:
        read_only: For commands that only look: they may run beside `serve`.
    Raises:
        StoreError: If it is not there yet (read only), or of another version.
    """
    settings = read_settings(directory)
    database = Database(settings.database_url, read_only=read_only)
    try:
        if read_only:
            require_current(database)
        else:
            upgrade(database)
        yield Opened(
            settings, database, Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        )
    finally:
        database.close()


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
        raise UsageError(f'"{text}" is not a time: {error}') from error
