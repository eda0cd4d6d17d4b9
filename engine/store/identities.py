"""Ids that lead to profiles, and the profiles ingest creates: bulk reads and inserts only."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from engine.core.model.instants import Instant
from engine.store.bulk import insert, reserve, update
from engine.store.connection import Connection

COUNTER: Final = "profile"
EPOCH: Final = "identity"
"""Counts the transactions that changed an identity, so that a stale memory is noticed."""
ERASURES: Final = "erasure"
"""Counts erasures, so that nobody writes down what they read of a person before."""

_PROFILE_COLUMNS: Final = (
    "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
    "consent", "data_key", "merged_into", "erased_at",
)  # fmt: skip
_IDENTITY_COLUMNS: Final = ("kind", "value", "profile_id", "created_at")


class Known(Struct):
    """What identity resolution must know of a profile. A claimed one has a user id."""

    id: int
    created_at: Instant
    external_id: str
    is_claimed: bool


class NewProfile(Struct):
    """A profile to insert."""

    id: int
    external_id: str
    created_at: Instant
    zone: str
    data_key: bytes


class Link(Struct, frozen=True):
    """An id to insert. `kind` is user or anonymous."""

    kind: str
    value: str
    profile_id: int
    created_at: Instant


def find(connection: Connection, kind: str, values: Sequence[str]) -> dict[str, int]:
    """The profile of each of these ids that is known."""
    rows = connection.select_in(
        "SELECT value, profile_id FROM identity WHERE kind = ? AND value IN (?)", values, (kind,)
    )
    return dict(rows)


def profiles(connection: Connection, ids: Iterable[int]) -> dict[int, Known]:
    """What must be known of profiles that may be claimed or merged.

    A profile is claimed if its external id is a user id that leads to it.
    """
    rows = connection.select_in(
        "SELECT p.id, p.created_at, p.external_id, u.profile_id FROM profile p "
        "LEFT JOIN identity u ON u.kind = 'user' AND u.value = p.external_id WHERE p.id IN (?)",
        list(ids),
    )
    return {row[0]: Known(row[0], row[1], row[2], row[3] == row[0]) for row in rows}


def data_keys(connection: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """The wrapped data key of each profile that still has one."""
    rows = connection.select_in("SELECT id, data_key FROM profile WHERE id IN (?)", ids)
    return {row[0]: bytes(row[1]) for row in rows if row[1] is not None}


def add_profiles(connection: Connection, new: Sequence[NewProfile]) -> None:
    rows = [
        (
            it.id, it.external_id, it.created_at, it.zone, "workspace", "{}", "{}", "{}", "{}",
            it.data_key, None, None,
        )
        for it in new
    ]  # fmt: skip
    insert(connection, "profile", _PROFILE_COLUMNS, rows)


def add_links(connection: Connection, links: Sequence[Link]) -> None:
    rows = [(it.kind, it.value, it.profile_id, it.created_at) for it in links]
    insert(connection, "identity", _IDENTITY_COLUMNS, rows)


def name_profiles(connection: Connection, names: dict[int, str]) -> None:
    """Give profiles the user id that claimed them as their external id."""
    update(connection, "profile", ("id",), ("external_id",), list(names.items()))


def redirect(connection: Connection, merges: Sequence[tuple[int, int]]) -> None:
    """Lead every id of each loser to its winner, in order.

    The loser's profile stays as it is until its owner plays the merge: events committed before it
    are still the loser's.
    """
    for loser, winner in merges:
        connection.execute(
            "UPDATE identity SET profile_id = ? WHERE profile_id = ?", (winner, loser)
        )


def note_change(connection: Connection) -> None:
    """Make whoever remembers ids read them again."""
    reserve(connection, EPOCH, 1)


def note_erasure(connection: Connection) -> None:
    """Make whoever is about to write down what they read of people read them again."""
    reserve(connection, ERASURES, 1)


def erasures(connection: Connection, *, for_writing: bool = False) -> int:
    """How many erasures there were; `for_writing` keeps the next one waiting until commit."""
    lock = " FOR SHARE" if for_writing and connection.dialect == "postgresql" else ""
    rows = connection.execute(f"SELECT value FROM counter WHERE name = ?{lock}", (ERASURES,))
    return int(rows[0][0]) if rows else 0
