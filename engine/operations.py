"""What commands of this machine may have the running server do: a name, a JSON payload, a result.

`local.call` sends them here; the same work is done directly by the command when no server runs.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from engine import write_keys
from engine.core.clocktime import iso
from engine.core.errors import Overloaded, UsageError
from engine.prepare import Answer, Prepared
from engine.running import Running
from engine.steady import present

SETTLE_SECONDS_MAX: Final = 600.0


def operations(
    running: Running, *, keys_changed: Callable[[], None]
) -> Mapping[str, Callable[[Any], Any]]:
    """Every operation by name. `keys_changed` is called after a key was made or revoked."""

    def on_keys(name: str, payload: Any) -> Any:
        result = running.write(lambda connection: write_keys.OPERATIONS[name](connection, payload))
        keys_changed()
        return result

    return {
        **{name: partial(on_keys, name) for name in write_keys.OPERATIONS},
        "apply": lambda payload: _apply(running, payload),
        "ingest": lambda payload: _ingest(running, payload),
        "tick": lambda payload: _tick(running, payload),
        "reload": lambda _payload: _reload(running),
        "status": lambda _payload: _status(running),
    }


def _apply(running: Running, payload: Any) -> dict[str, Any]:
    """Make {"files": {path: text}} the live workspace and play by it from now on."""
    from engine.publish import apply_files

    done: dict[str, Any] = running.write(
        lambda connection: apply_files(connection, payload, now=present())
    )
    running.reload()
    return done


def _ingest(running: Running, payload: Any) -> dict[str, Any]:
    """Load a file of this machine: {"path": …, "mapping": {…}, "live": …}."""
    from engine.loading import ingest_file

    path = payload.get("path")
    if not isinstance(path, str) or path == "-":
        raise UsageError("the running server reads files, not the command's stdin; name a file")
    report = ingest_file(
        path,
        write=partial(_accept_patiently, running),
        declared=running.declared,
        now=present,
        mapping=payload.get("mapping") or {},
        live=bool(payload.get("live")),
    )
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _accept_patiently(running: Running, prepared: Prepared) -> list[Answer]:
    """Commit a group of a file; a full queue slows the file down and nobody else."""
    while True:
        try:
            return running.accept(prepared).result()
        except Overloaded as error:
            time.sleep(error.retry_after_seconds)


def _tick(running: Running, payload: Any) -> dict[str, Any]:
    """Wait until everything due by an instant, at most now, has been played: {"until": instant}."""
    until = int(payload["until"])
    if until > present() + 1_000_000:
        raise UsageError(
            f"tick --until {iso(until)}: a running server cannot play the future; stop it first"
        )
    if reason := running.not_ready():
        raise UsageError(reason)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while running.tick_lag_seconds() > 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return {"lag_seconds": running.tick_lag_seconds()}


def _reload(running: Running) -> dict[str, Any]:
    """Play by what is applied now."""
    playbook = running.reload()
    return {"release": playbook.program.release if playbook else 0}


def _status(running: Running) -> dict[str, Any]:
    """How the server is doing, for `doctor` and scripts."""
    playbook = running.playbook
    return {
        "release": playbook.program.release if playbook else 0,
        "not_ready": running.not_ready(),
        "waiting": running.waiting(),
        "tick_lag_seconds": running.tick_lag_seconds(),
        "now": present(),
    }
