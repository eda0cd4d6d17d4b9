"""Making, listing and revoking write keys: the same three, in a command or in the server."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.core.errors import UsageError
from engine.steady import present
from engine.store import keys
from engine.store.connection import Connection

LABEL_CHARACTERS_MAX: Final = 100


def create(connection: Connection, payload: Any) -> dict[str, Any]:
    """A new key, shown this once. `payload` is {"kind": …, "label": …}."""
    kind, label = payload.get("kind"), payload.get("label", "")
    if kind not in ("server", "browser"):
        raise UsageError(f"--kind: found {kind!r}, allowed are server and browser")
    if not isinstance(label, str) or len(label) > LABEL_CHARACTERS_MAX:
        raise UsageError(f"--label: a text of at most {LABEL_CHARACTERS_MAX} characters")
    key_id, key = keys.create(
        connection, kind=kind, label=label, entropy=secrets.token_bytes(30), now=present()
    )
    return {"id": key_id, "kind": kind, "label": label, "key": key}


def listed(connection: Connection, _payload: Any) -> dict[str, Any]:
    """Every key ever made, without its text; instants in microseconds."""
    return {
        "keys": [
            {
                "id": key.id,
                "kind": key.kind,
                "label": key.label,
                "created_at": key.created_at,
                "revoked_at": key.revoked_at,
            }
            for key in keys.listed(connection)
        ]
    }


def revoke(connection: Connection, payload: Any) -> dict[str, Any]:
    """Refuse a key from now on. `payload` is {"id": …}."""
    key_id = str(payload.get("id"))
    known = {key.id for key in keys.listed(connection)}
    if key_id not in known:
        raise UsageError(f"no key has the id {key_id!r}; see them with: antiphon keys list")
    keys.revoke(connection, key_id, now=present())
    return {"id": key_id}


OPERATIONS: Final[Mapping[str, Callable[[Connection, Any], dict[str, Any]]]] = {
    "keys_create": create,
    "keys_list": listed,
    "keys_revoke": revoke,
}
