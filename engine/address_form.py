"""Brings addresses that were hashed in an older form to the present one, once for each database.

Up to 0.3 an e-mail address beyond ASCII was hashed as it was written, so that `ada@bücher.example`
and its A-label were two addresses, and a suppression of one did not hold for the other. Hashes
cannot be read back; but profiles have their addresses sealed, and what stands under a profile's
old hash (its contact, its soft bounces) moves to the new one. Addresses that no profile has, such
as imported suppressions, keep their old hash: import those again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.core.errors import StoreError
from engine.store.connection import Connection
from engine.vault import PRESENT_FORM, DataKey, Vault

SETTING: Final = "address_form"
FORMER: Final = 1
PROFILES_PER_READ: Final = 5_000

_object: Final = msgspec.json.Decoder(dict[str, Any])


def is_up_to_date(connection: Connection) -> bool:
    """Whether this has been done."""
    found = connection.execute("SELECT value FROM setting WHERE name = ?", (SETTING,))
    return bool(found) and found[0][0] == str(PRESENT_FORM)


def bring_addresses_up(connection: Connection, vault: Vault) -> int:
    """Hash every address again whose form has changed; give how many profiles had one."""
    if is_up_to_date(connection):
        return 0
    n_changed, last = 0, -1
    while True:
        rows = connection.execute(
            "SELECT id, traits, sealed, addresses, data_key FROM profile "
            "WHERE id > ? AND data_key IS NOT NULL AND sealed <> '{}' ORDER BY id LIMIT ?",
            (last, PROFILES_PER_READ),
        )
        if not rows:
            break
        last = int(rows[-1][0])
        for profile_id, traits, sealed, addresses, wrapped in rows:
            try:
                key = vault.unwrap(profile_id, wrapped)
            except StoreError:
                continue  # made under a secret that is gone: it has no address to send to either
            spelled = _beyond_ascii(vault, key, _object.decode(sealed))
            if spelled:
                _rehash(connection, vault, profile_id, spelled, traits, addresses)
                n_changed += 1
    connection.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (SETTING, str(PRESENT_FORM)),
    )
    return n_changed


def _beyond_ascii(vault: Vault, key: DataKey, sealed: Mapping[str, str]) -> dict[str, str]:
    """The sealed traits that are such addresses, by name."""
    opened = {name: vault.open_value(key, token, name=name) for name, token in sealed.items()}
    return {
        name: value
        for name, value in opened.items()
        if isinstance(value, str) and "@" in value and not value.isascii()
    }


def _rehash(
    connection: Connection,
    vault: Vault,
    profile_id: int,
    spelled: Mapping[str, str],
    traits: str,
    addresses: str,
) -> None:
    marks, keys = _object.decode(traits), _object.decode(addresses)
    for name, address in spelled.items():
        if marks.get(name) == vault.mark(name, "email", address, form=FORMER):
            marks[name] = vault.mark(name, "email", address)
        for channel, key in list(keys.items()):
            old = vault.address_hash(channel, address, form=FORMER)
            if key == old.hex():
                new = vault.address_hash(channel, address)
                keys[channel] = new.hex()
                _move_contact(connection, old, new)
    connection.execute(
        "UPDATE profile SET traits = ?, addresses = ? WHERE id = ?",
        (msgspec.json.encode(marks).decode(), msgspec.json.encode(keys).decode(), profile_id),
    )


def _move_contact(connection: Connection, old: bytes, new: bytes) -> None:
    """What stood under the old hash goes under the new one; of two rows, the stricter holds."""
    if old == new:
        return
    columns = (
        "channel, suppressed, suppressed_at, suppressed_until, suppressed_by, withdrawn, "
        "stopped_at, updated_at"
    )
    statement = f"SELECT {columns} FROM contact WHERE address_hash = ?"
    was = connection.execute(statement, (old,))
    if was:
        there = connection.execute(statement, (new,))
        row = _stricter(was[0], there[0]) if there else was[0]
        connection.execute("DELETE FROM contact WHERE address_hash IN (?, ?)", (old, new))
        connection.execute(
            f"INSERT INTO contact (address_hash, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (new, *row),
        )
    connection.execute(
        "UPDATE soft_bounce SET address_hash = ? WHERE address_hash = ? AND message_id NOT IN "
        "(SELECT message_id FROM soft_bounce WHERE address_hash = ?)",
        (new, old, new),
    )


def _stricter(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    """Two contact rows as one: whatever either refuses, for as long as either does."""
    suppressions = [row for row in (one, other) if row[1] is not None]
    endless = [row for row in suppressions if row[3] is None]
    chosen = (endless or sorted(suppressions, key=lambda row: -row[3]) or [one])[0]
    withdrawn = [*dict.fromkeys(msgspec.json.decode(one[5]) + msgspec.json.decode(other[5]))]
    # `stopped_at` lets START take "*" back: only if no other withdrawal put it there.
    by_text = [row[6] for row in (one, other) if "*" in msgspec.json.decode(row[5])]
    stopped = max(by_text) if by_text and None not in by_text else None
    text = msgspec.json.encode(withdrawn).decode()
    return (one[0], *chosen[1:5], text, stopped, max(one[7], other[7]))
