"""Two profiles turn out to be one person: the loser's rows become the winner's.

The core says what a merge means (`core.merge`); this moves the rows, in the transaction of the one
batch that plays the merge. The losing id stays as a redirect, and stays able to open what was
sealed for it.

Two profiles may belong to two workers, and both read the one record of their merge. The loser's
worker plays it up to there and closes it; the winner's waits for that (`taking`) and then finds
all that the loser was. A merge happens once, since the position moves past it once.
"""

from msgspec import Struct, field

from engine.core.assigning import exposure_name
from engine.core.merge import merge_people
from engine.core.model.effects import Effect
from engine.core.model.instants import Instant
from engine.release.playbook import Playbook
from engine.store import bulk, people
from engine.store.connection import Connection, Row
from engine.store.events import event_tables
from engine.store.people import Loaded
from engine.ticking.taking import loser_of


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


class Closed(Struct, frozen=True):
    """One side of a merge: the loser is played no more, and its rows wait for the winner."""

    winner: int
    loser: int

    def write(self, connection: Connection) -> None:
        """Close the loser, in the transaction of the owner who has played it so far."""
        if self.winner != self.loser:
            connection.execute(
                "UPDATE profile SET merged_into = ? WHERE id = ? AND merged_into IS NULL",
                (self.winner, self.loser),
            )


def close_loser(event: Row) -> Closed:
    """What the loser's worker does about a merge with a profile of another."""
    return Closed(int(event[1]), loser_of(event))


def play_merge(
    connection: Connection, playbook: Playbook, event: Row, *, now: Instant, is_closed: bool = False
) -> Merged:
    """Play one merge event; a repeated or impossible one changes nothing.

    Args:
        is_closed: The loser's worker has closed it for this merge.
    """
    winner_id, loser_id = int(event[1]), loser_of(event)
    merged = Merged(winner_id, loser_id)
    models = playbook.models
    loaded = people.load(connection, [winner_id, loser_id], models=models)
    if is_closed:
        loaded |= people.load(connection, [loser_id], closed_for=winner_id)
    winner, loser = loaded.get(winner_id), loaded.get(loser_id)
    if winner is None or loser is None or winner_id == loser_id:
        return merged
    merged.loser_segments = sorted(people.members_of(loser.was_memberships))
    keys = loser.person.state.exposures
    merged.loser_exposures = sorted({exposure_name(key)[0] for key in keys})
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
    winner.is_told = True
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
    # What either was asked: the winner's own question stands where both were.
    connection.execute(
        "DELETE FROM consent_request WHERE profile_id = ? AND EXISTS (SELECT 1 FROM "
        "consent_request mine WHERE mine.profile_id = ? AND mine.channel = consent_request.channel "
        "AND mine.topic = consent_request.topic)",
        (it.loser, it.winner),
    )
    connection.execute(
        "UPDATE consent_request SET profile_id = ? WHERE profile_id = ?", (it.winner, it.loser)
    )
    bulk.delete(
        connection,
        "membership",
        ("segment", "profile_id"),
        [(name, it.loser) for name in it.loser_segments],
    )
    for experiment in it.loser_exposures:
        _unite_exposures(connection, experiment, winner=it.winner, loser=it.loser)
    # A score of half a person is nobody's: the winner keeps their own until the next run.
    bulk.delete(connection, "model_score", ("profile_id",), [(it.loser,)])
    # What was drafted of either is of half a person.
    connection.execute("DELETE FROM draft WHERE profile_id IN (?, ?)", (it.winner, it.loser))
    connection.execute("DELETE FROM profile_state WHERE profile_id = ?", (it.loser,))
    connection.execute("UPDATE profile SET merged_into = ? WHERE id = ?", (it.winner, it.loser))
    # After the profile: who keeps a page for the loser holds that row until it is committed.
    connection.execute(
        "UPDATE placement SET profile_id = ? WHERE profile_id = ?", (it.winner, it.loser)
    )


def _unite_exposures(connection: Connection, experiment: str, *, winner: int, loser: int) -> None:
    """Of two exposures of one unit in one phase the earlier stays."""
    rows = connection.execute(
        "SELECT phase, unit, profile_id FROM exposure "
        "WHERE experiment = ? AND profile_id IN (?, ?) ORDER BY phase, unit, at, profile_id",
        (experiment, winner, loser),
    )
    seen: set[tuple[int, str]] = set()
    for phase, unit, profile_id in rows:
        if (phase, unit) in seen:
            connection.execute(
                "DELETE FROM exposure "
                "WHERE experiment = ? AND phase = ? AND unit = ? AND profile_id = ?",
                (experiment, phase, unit, profile_id),
            )
        seen.add((phase, unit))
    connection.execute(
        "UPDATE exposure SET profile_id = ? WHERE experiment = ? AND profile_id = ?",
        (winner, experiment, loser),
    )
