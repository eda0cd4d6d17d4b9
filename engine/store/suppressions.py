"""Which addresses must not be reached at all, why, since when, until when, and who said so.

They stand on the `contact` row, where attempts and withdrawals meet. What is written here is the
same in whatever order it comes: what lasts wins over what ends, of two that last the older one
stays, of two that end the later end counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from engine.core.model.instants import DAY, Instant
from engine.store.connection import Connection, Row

SOFT_BOUNCES: Final = 3
SOFT_WINDOW: Final = 30 * DAY
SOFT_REST: Final = 90 * DAY
"""Three messages that bounce softly within 30 days: the address rests for 90 days."""
SOFT_BOUNCE: Final = "soft bounces"

# What is there gives way only to what is stronger, so that the order of reports is of no account.
_UPSERT: Final = (
    "INSERT INTO contact (address_hash, channel, suppressed, suppressed_at, suppressed_until, "
    "suppressed_by, withdrawn, updated_at) VALUES (?, ?, ?, ?, ?, ?, '[]', ?) "
    "ON CONFLICT (address_hash) DO UPDATE SET suppressed = excluded.suppressed, "
    "suppressed_at = excluded.suppressed_at, suppressed_until = excluded.suppressed_until, "
    "suppressed_by = excluded.suppressed_by, updated_at = excluded.updated_at "
    "WHERE contact.suppressed IS NULL "
    "OR (contact.suppressed_until IS NOT NULL AND (excluded.suppressed_until IS NULL "
    "OR excluded.suppressed_until > contact.suppressed_until)) "
    "OR (contact.suppressed_until IS NULL AND excluded.suppressed_until IS NULL "
    "AND (excluded.suppressed_at < contact.suppressed_at "
    "OR (excluded.suppressed_at = contact.suppressed_at "
    "AND excluded.suppressed < contact.suppressed)))"
)


class Suppression(Struct, frozen=True):
    """Why one address is not reached. `until` None: for good. `address_hash` is hex."""

    address_hash: str
    channel: str
    why: str
    by: str
    at: Instant
    until: Instant | None = None


def suppress(connection: Connection, found: Iterable[Suppression], *, now: Instant) -> None:
    """Reach these addresses no more. Rows are locked in order: nobody waits in a circle."""
    connection.executemany(
        _UPSERT,
        [
            (bytes.fromhex(it.address_hash), it.channel, it.why, it.at, it.until, it.by, now)
            for it in sorted(found, key=lambda it: it.address_hash)
        ],
    )


def bounced_softly(
    connection: Connection,
    found: Sequence[tuple[str, str, int, Instant]],
    *,
    by: str,
    now: Instant,
) -> None:
    """Note soft bounces (address hash, channel, message, at); let addresses rest that had enough.

    One message counts once however often it bounces.
    """
    connection.executemany(
        "INSERT INTO soft_bounce (address_hash, message_id, at) VALUES (?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        sorted((bytes.fromhex(key), message, at) for key, _, message, at in found),
    )
    channels = {bytes.fromhex(key): channel for key, channel, _, _ in found}
    noted: dict[bytes, list[tuple[Instant, int]]] = defaultdict(list)
    for key, at, message in connection.select_in(
        "SELECT address_hash, at, message_id FROM soft_bounce WHERE address_hash IN (?)",
        sorted(channels),
    ):
        noted[bytes(key)].append((at, message))
    suppress(
        connection,
        [
            Suppression(key.hex(), channels[key], SOFT_BOUNCE, by, last, last + SOFT_REST)
            for key, known in noted.items()
            if (last := _enough(sorted(known))) is not None
        ],
        now=now,
    )
    connection.executemany(
        "DELETE FROM soft_bounce WHERE address_hash = ? AND at < ?",
        [(key, now - 2 * SOFT_WINDOW) for key in sorted(channels)],
    )


def _enough(bounces: Sequence[tuple[Instant, int]]) -> Instant | None:
    """The last instant at which enough messages had bounced within the window.

    One more bounce never takes an instant away: so the order in which they are told is of no
    account.

    Args:
        bounces: (at, message), sorted.
    """
    found, latest = None, dict[int, Instant]()
    for at, message in bounces:
        latest[message] = at
        latest = {it: last for it, last in latest.items() if at - last <= SOFT_WINDOW}
        if len(latest) >= SOFT_BOUNCES:
            found = at
    return found


def listed(
    connection: Connection, *, after: bytes = b"", limit: int, channel: str | None = None
) -> list[Suppression]:
    """Suppressions in the order of their hashes, those too that have ended."""
    rows: list[Row] = connection.execute(
        "SELECT address_hash, channel, suppressed, suppressed_by, suppressed_at, suppressed_until "
        "FROM contact WHERE (suppressed IS NOT NULL OR withdrawn <> '[]') "
        "AND suppressed IS NOT NULL AND address_hash > ? AND (? = '' OR channel = ?) "
        "ORDER BY address_hash LIMIT ?",
        (after, channel or "", channel or "", limit),
    )
    return [
        Suppression(bytes(key).hex(), name, why, by or "", at, until)
        for key, name, why, by, at, until in rows
    ]


def lift(connection: Connection, hashes: Iterable[str], *, now: Instant) -> int:
    """Reach these addresses again; give how many were suppressed. Withdrawals stay."""
    keys = sorted(bytes.fromhex(it) for it in set(hashes))
    rows = connection.select_in(
        "UPDATE contact SET suppressed = NULL, suppressed_at = NULL, suppressed_until = NULL, "
        "suppressed_by = NULL, updated_at = ? WHERE address_hash IN (?) "
        "AND suppressed IS NOT NULL RETURNING address_hash",
        keys,
        (now,),
    )
    connection.executemany(
        "DELETE FROM soft_bounce WHERE address_hash = ?", [(bytes(row[0]),) for row in rows]
    )
    return len({bytes(row[0]) for row in rows})
