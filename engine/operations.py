"""What commands of this machine may have the running server do: a name, a JSON payload, a result.

`local.call` sends them here; the same work is done directly by the command when no server runs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine import write_keys
from engine.running import Running
from engine.steady import present


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
        "reload": lambda _payload: _reload(running),
        "status": lambda _payload: _status(running),
    }


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
