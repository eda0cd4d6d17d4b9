"""The address of a warehouse, filled in when it is opened and by nobody before.

A command that reads a report needs no secret of any channel, so releases are loaded without them.
"""

import os
from pathlib import Path

from campaigns.secrets import fill_text
from engine.core.errors import UsageError


def filled_address(written: str, *, where: str) -> str:
    """An address with its `${env:NAME}` and `${file:/path}` filled in.

    Raises:
        UsageError: Naming the variable or the file that is not there; it begins with `where`.
    """
    try:
        return fill_text(written, read=_read).strip()
    except LookupError as missing:
        raise UsageError(f"{where}: {missing.args[0]} is not set, or cannot be read") from missing


def _read(kind: str, name: str) -> str | None:
    if kind == "env":
        return os.environ.get(name)
    try:
        return Path(name).read_text("utf-8")
    except (OSError, ValueError):
        return None
