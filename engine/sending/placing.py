"""Web messages are kept for their visitors in the transaction that records them as sent.

The page is sealed under the visitor's own data key: who is erased has nothing kept, and what was
kept before turns to noise.
"""

from collections.abc import Sequence
from typing import Final

from engine.core.model.instants import Instant
from engine.store import placements
from engine.store.connection import Connection, Row
from engine.store.queue import Addressee, Outcome, addressees
from engine.vault import Vault

SEALED_AS: Final = "placement"
"""What a sealed page is bound to: it opens under this name alone."""


def place(
    connection: Connection, outcomes: Sequence[Outcome], *, vault: Vault, now: Instant
) -> None:
    """Keep the pages of those outcomes that have one, each for whoever its profile is by now."""
    accepted = {it.message: it for it in outcomes if it.placement is not None}
    if not accepted:
        return
    owners: dict[int, int] = dict(
        connection.select_in("SELECT id, profile_id FROM message WHERE id IN (?)", sorted(accepted))
    )
    people = _locked(connection, sorted(set(owners.values())))
    rows: list[Row] = []
    for message, profile in owners.items():
        person, it = people.get(profile), accepted[message].placement
        if it is None or person is None or person.erased_at is not None or not person.data_key:
            continue
        key = vault.unwrap(person.id, person.data_key)
        body = vault.seal(key, it.html, aad=SEALED_AS)
        rows.append((
            message, person.id, it.name, it.kind, it.priority, accepted[message].at,
            it.expires_at, body,
        ))  # fmt: skip
    placements.keep(connection, rows, now=now)


def _locked(connection: Connection, profiles: Sequence[int]) -> dict[int, Addressee]:
    """The people behind profiles, none of whom is merged into another before we commit.

    A merge gives the loser's rows to the winner once: one that is written after it is lost.
    """
    people, locked = addressees(connection, profiles), set[int]()
    while connection.dialect == "postgresql":
        fresh = sorted({it.id for it in people.values()} - locked)
        if not fresh:
            break
        locked |= set(fresh)
        connection.select_in("SELECT 1 FROM profile WHERE id IN (?) ORDER BY id FOR SHARE", fresh)
        people = addressees(connection, profiles)
    return people
