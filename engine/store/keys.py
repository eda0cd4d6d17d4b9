"""Write keys of the tracking API: made once, shown once, kept as a hash."""

import hashlib
from typing import Literal, TypeAlias

from msgspec import Struct

from engine.core.model.instants import Instant
from engine.store.connection import Connection

KeyKind: TypeAlias = Literal["server", "browser"]


class Key(Struct, frozen=True):
    """A write key as it may be shown later: everything but the key."""

    id: str
    kind: KeyKind
    label: str
    created_at: Instant
    revoked_at: Instant | None


def digest(key: str) -> bytes:
    """What is stored of a key. Keys hold 128 random bits or more, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).digest()


def create(
    connection: Connection, *, kind: KeyKind, label: str, entropy: bytes, now: Instant
) -> tuple[str, str]:
    """Store a new key made from at least 24 random bytes; give (id, the key itself)."""
    assert len(entropy) >= 24, "a key needs 24 random bytes"
    key_id, secret = entropy[:6].hex(), entropy[6:].hex()
    key = f"{'sk' if kind == 'server' else 'wk'}_{key_id}{secret}"
    connection.execute(
        "INSERT INTO write_key (id, kind, label, hash, created_at, revoked_at) "
        "VALUES (?, ?, ?, ?, ?, NULL)",
        (key_id, kind, label, digest(key), now),
    )
    return key_id, key


def revoke(connection: Connection, key_id: str, *, now: Instant) -> bool:
    """Refuse a key from now on. False where no such key is valid."""
    rows = connection.execute(
        "UPDATE write_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING id",
        (now, key_id),
    )
    return bool(rows)


def listed(connection: Connection) -> list[Key]:
    """Every key, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, label, created_at, revoked_at FROM write_key ORDER BY created_at, id"
    )
    return [Key(*row) for row in rows]


def valid(connection: Connection) -> dict[bytes, KeyKind]:
    """The kind of every usable key by its hash: small, and meant to be kept in memory."""
    rows = connection.execute("SELECT hash, kind FROM write_key WHERE revoked_at IS NULL")
    return {bytes(key_hash): kind for key_hash, kind in rows}
