"""How a command reaches the `serve` that runs on its workspace.

While `serve` runs it owns the database: commands that change something send it their work with
the token of `.antiphon/serve.json`. `call` gives None when nobody runs, and the command does the
work itself. A file left by a killed server is harmless: the kernel dropped the lock with it.
"""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.errors import AntiphonError, NotOwner, StoreError, UsageError
from engine.settings import DIRECTORY
from engine.store.ownership import FileLock

STARTING_SECONDS_MAX: Final = 15.0
WORK_SECONDS_MAX: Final = 3600.0

_ERRORS: Final[dict[str, type[AntiphonError]]] = {
    "usage": UsageError,
    "not_owner": NotOwner,
    "store": StoreError,
}


class Address(Struct, frozen=True):
    """Where a running server listens and the token that proves a call comes from this machine."""

    address: str
    token: str
    pid: int


def engine_lock(directory: Path) -> FileLock:
    """The lock that `serve` holds for as long as it lives."""
    folder = directory / DIRECTORY
    folder.mkdir(mode=0o700, exist_ok=True)
    return FileLock(folder / "engine.lock")


def is_served(directory: Path) -> bool:
    """Whether a `serve` holds the workspace now."""
    if not (directory / DIRECTORY / "engine.lock").exists():
        return False
    lock = engine_lock(directory)
    if not lock.acquire():
        return True
    lock.release()
    return False


def write_address(directory: Path, address: Address) -> Path:
    """Leave word of a running server, readable by its user only; the file appears whole."""
    path = directory / DIRECTORY / "serve.json"
    unfinished = path.with_name(f"serve.json.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(address))
    unfinished.replace(path)
    return path


def read_address(directory: Path) -> Address | None:
    """What the last server wrote, or None if there is nothing readable."""
    try:
        content = (directory / DIRECTORY / "serve.json").read_bytes()
        return msgspec.json.decode(content, type=Address)
    except (OSError, msgspec.DecodeError):
        return None


def call(directory: Path, name: str, payload: Any = None) -> Any | None:
    """Have the running server do `name`, and give its result; None when no server runs.

    A result is JSON; an operation without one answers {}.

    Raises:
        AntiphonError: What the operation raised there: UsageError, StoreError, NotOwner, ….
        NotOwner: If a server holds the workspace but does not answer.
    """
    deadline = time.monotonic() + STARTING_SECONDS_MAX
    while is_served(directory):
        address = read_address(directory)
        if address is not None:
            try:
                return _post(address, name, payload)
            except ConnectionRefusedError:
                pass  # the file of an earlier server; the one that holds the lock is starting
        if time.monotonic() > deadline:
            raise NotOwner(
                f"{directory}: a server holds this workspace but does not answer. "
                "Look at the terminal of `antiphon serve`, or stop it and try again."
            )
        time.sleep(0.1)
    return None


def _post(address: Address, name: str, payload: Any) -> Any:
    request = urllib.request.Request(
        f"{address.address}/local/{name}",
        data=msgspec.json.encode(payload),
        headers={"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"},
        method="POST",
    )
    # No proxy of the environment may come between a command and its own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=WORK_SECONDS_MAX) as response:
            return json.loads(response.read())["result"]
    except urllib.error.HTTPError as error:
        raise _as_raised(error.status or 0, error.read()) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            raise ConnectionRefusedError from None
        raise NotOwner(f"the running server did not answer: {error.reason}") from None


def _as_raised(status: int, body: bytes) -> AntiphonError:
    try:
        problem = json.loads(body)
        kind = _ERRORS.get(problem["code"], AntiphonError)
        return kind(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return AntiphonError(f"the running server answered {status}; see its terminal")
