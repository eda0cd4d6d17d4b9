"""Two profiles turn out to be one person: the loser's rows become the winner's.

The core says what a merge means (`core.merge`); this moves the rows, in the transaction of the one
batch that plays the merge. The losing id stays as a redirect, and stays able to open what was
sealed for it.
"""

import msgspec
from msgspec import Struct, field

from engine.core.merge import merge_people
from engine.core.model import Effect, Instant
from engine.playbook import Playbook
from engine.store import bulk, people
from engine.store.connection import Connection, Row
from engine.store.events import event_tables
from engine.store.people import Loaded


class Merged(Struct):
    """A merge played: the winner to save, what follows from it, and the loser's id."""

    winner: int
    loser: int
    people: list[Loaded] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    loser_segments: list[str] = field(default_factory=list)
    loser_exposures: list[str] = field(default_factory=list)

    def write(self, connection: Connection) -> None:
        """Re-point the loser's rows and close it."""
        if self.people:
            redirect(connection, self)


def play_merge(connection: Connection, playbook: Playbook, event: Row, *, now: Instant) -> Merged:
    """Play one merge event; a repeated or impossible one changes nothing."""
    winner_id, loser_id = int(event[1]), int(msgspec.json.decode(event[6])["loser"])
    merged = Merged(winner_id, loser_id)
    loaded = people.load(connection, [winner_id, loser_id])
    winner, loser = loaded.get(winner_id), loaded.get(loser_id)
    if winner is None or loser is None or winner_id == loser_id:
        return merged
    merged.loser_segments = sorted(loser.was_members)
    merged.loser_exposures = sorted(loser.person.state.exposures)
    merged.effects = merge_people(
        winner.person,
        loser.person,
        program=playbook.program,
        segments=playbook.segments,
        now=now,
    )
    winner.sealed = {**loser.sealed, **winner.sealed}
    winner.addresses = {**loser.addresses, **winner.addresses}
    winner.was_enrollments |= loser.was_enrollments
    # The loser's memberships go with its rows; the winner's are written as far as they differ.
    merged.people = [winner]
    return merged


def redirect(connection: Connection, it: Merged) -> None:
    """Give every row of the loser to the winner, and leave the id as a redirect.

    Its messages keep the old id, which leads to the winner; its timer finds nobody and goes.
    """
    for table in (*event_tables(connection), "enrollment", "consent_change"):
        connection.execute(
            f"UPDATE {table} SET profile_id = ? WHERE profile_id = ?", (it.winner, it.loser)
        )
    bulk.delete(
        connection,
        "membership",
        ("segment", "profile_id"),
        [(name, it.loser) for name in it.loser_segments],
    )
    for experiment in it.loser_exposures:
        _unite_exposures(connection, experiment, winner=it.winner, loser=it.loser)
    connection.execute("DELETE FROM profile_state WHERE profile_id = ?", (it.loser,))
    connection.execute("UPDATE profile SET merged_into = ? WHERE id = ?", (it.winner, it.loser))


def _unite_exposures(connection: Connection, experiment: str, *, winner: int, loser: int) -> None:
    """Of two exposures in one phase the earlier stays."""
    rows = connection.execute(
        "SELECT phase, profile_id, at FROM exposure "
        "WHERE experiment = ? AND profile_id IN (?, ?) ORDER BY phase, at, profile_id",
        (experiment, winner, loser),
    )
    seen: set[int] = set()
    for phase, profile_id, _ in rows:
        if phase in seen:
            connection.execute(
                "DELETE FROM exposure WHERE experiment = ? AND phase = ? AND profile_id = ?",
                (experiment, phase, profile_id),
            )
        seen.add(phase)
    connection.execute(
        "UPDATE exposure SET profile_id = ? WHERE experiment = ? AND profile_id = ?",
        (winner, experiment, loser),
    )
