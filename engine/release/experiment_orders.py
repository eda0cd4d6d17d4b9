"""What operators do to an experiment that runs: start, stop, conclude, acknowledge.

Beside its file: an order is a row of `operation`, so it survives `apply`; one that changes what
anybody gets is a release of its own as well (same files), in the same transaction. Nobody is woken:
an experiment matters when its step is reached or a client asks. Read next: `live`, which reads the
orders.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from campaigns.experiment_plans import planned
from campaigns.problems import advice
from campaigns.workspace import Workspace
from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.campaigns import Experiment, Program
from engine.core.model.instants import Instant
from engine.release import releases
from engine.store.connection import Connection

Action = Literal["start", "stop", "conclude", "acknowledge"]
ACTIONS: Final[tuple[Action, ...]] = ("start", "stop", "conclude", "acknowledge")
Held = Literal["", "started", "stopped"]
CAUSE_CHARACTERS_MAX: Final = 500


class ExperimentOrder(Struct, frozen=True):
    """What an operator wants of one experiment. `winner` is for conclude; for acknowledge `why` is
    the cause of the sample ratio mismatches `of` these populations."""

    action: Action
    experiment: str
    winner: str = ""
    why: str = ""
    of: tuple[str, ...] = ()


class Acknowledged(Struct, frozen=True, omit_defaults=True):
    """Somebody has explained why the sample ratio of a phase is off: its numbers are shown again,
    with the cause, until another population is off. Rows of 0.4 name none and explain all."""

    phase: int
    cause: str
    at: Instant
    of: tuple[str, ...] = ()


class Explanation(NamedTuple):
    """Why sample ratios are off: the cause, "" for none, and of which populations; None: of all."""

    cause: str
    of: frozenset[str] | None


class ExperimentStanding(Struct, frozen=True, omit_defaults=True):
    """What operators have done to one experiment. `why`, `since` are of what holds it now."""

    held: Held = ""
    winner: str = ""
    why: str = ""
    since: Instant = 0
    acknowledged: tuple[Acknowledged, ...] = ()

    def explanation(self, phase: int) -> Explanation:
        """The causes given for the sample ratio of a phase, and what they explain."""
        given = [it for it in self.acknowledged if it.phase == phase]
        causes = dict.fromkeys(it.cause for it in given)
        if any(not it.of for it in given):
            return Explanation("; ".join(causes), None)
        return Explanation("; ".join(causes), frozenset(name for it in given for name in it.of))


class Ordered(NamedTuple):
    """What an order came to. `release` is 0 where nobody gets anything else than before."""

    release: int
    state: str
    winner: str
    phase: int


_standing: Final = msgspec.json.Decoder(ExperimentStanding)


def experiment_standings(connection: Connection) -> dict[str, ExperimentStanding]:
    """What operators have done, by experiment."""
    rows = connection.execute(
        "SELECT name, state FROM operation WHERE noun = 'experiment' ORDER BY name"
    )
    return {name: _standing.decode(state) for name, state in rows}


def order_experiment(
    connection: Connection, order: ExperimentOrder, *, workspace: Workspace, now: Instant
) -> Ordered:
    """Do what an operator wants, within the caller's transaction.

    Args:
        workspace: What is live: it knows the names.
    Raises:
        UsageError: If there is no such experiment or variant, or a cause is missing.
    """
    newest = releases.live(connection)
    if newest is None:
        raise UsageError("nothing is applied yet. Run: antiphon apply")
    known = {str(found.name): found for found in planned(workspace)}
    found = known.get(order.experiment)
    if found is None:
        raise UsageError(
            f'there is no experiment "{order.experiment}".{advice(order.experiment, known)}'
        )
    was = experiment_standings(connection).get(order.experiment, ExperimentStanding())
    current = releases.current_phases(connection).get(order.experiment)
    phase = current.number if current else 1
    if order.action == "acknowledge":
        after = _acknowledged(order, was, phase, now=now)
        _write(connection, order, after, now=now)
        state, winner = played_as(found.state, found.winner, after)
        return Ordered(0, state, winner, phase)
    variants = {str(name) for name in found.variants}
    if order.action == "conclude" and order.winner not in variants:
        raise UsageError(
            f'conclude needs the winner: "{order.winner}" is no variant of "{order.experiment}".'
            f"{advice(order.winner, variants)}"
        )
    after = _after(order, was, found.state, now=now)
    before_it = played_as(found.state, found.winner, was)
    state, winner = played_as(found.state, found.winner, after)
    if (state, winner) == before_it:
        return Ordered(0, state, winner, phase)
    why = f": {order.why}" if order.why else ""
    given = f' for "{winner}"' if order.action == "conclude" else ""
    number = releases.record(
        connection,
        digest=newest.digest,
        files=None,
        kind="operation",
        summary=[f'{order.action} experiment "{order.experiment}"{given}{why}'],
        now=now,
    )
    _write(connection, order, after, now=now)
    return Ordered(number, state, winner, phase)


def order_payload(
    connection: Connection, payload: Any, *, workspace: Workspace, now: Instant
) -> dict[str, Any]:
    """`order_experiment` for plain data; the result as plain data."""
    order = msgspec.convert(payload, ExperimentOrder)
    return order_experiment(connection, order, workspace=workspace, now=now)._asdict()


def played_as(state: str, winner: str, standing: ExperimentStanding) -> tuple[Any, str]:
    """(state, winner) that an experiment is played with; operators have the last word."""
    match standing.held:
        case "stopped":
            return "stopped", standing.winner
        case "started":
            return "live", ""
        case _:
            return state, winner


def overruled_experiments(program: Program, found: Mapping[str, ExperimentStanding]) -> Program:
    """The program with each experiment's current phase as operators want it played."""
    held = {name: it for name, it in found.items() if it.held}
    if not held:
        return program

    def as_held(it: Experiment) -> Experiment:
        standing = held.get(it.name)
        if standing is None or it.phase != program.phases.get(it.name, 1):
            return it
        state, winner = played_as(it.state, it.winner, standing)
        return replace(it, state=state, winner=winner)

    return replace(
        program, experiments={key: as_held(it) for key, it in program.experiments.items()}
    )


def experiment_drift(
    workspace: Workspace, found: Mapping[str, ExperimentStanding]
) -> dict[str, ExperimentStanding]:
    """What operators have done that the files do not say: `plan` shows it."""
    drifted = {}
    for it in planned(workspace):
        standing = found.get(str(it.name))
        if standing is None or not standing.held:
            continue
        if played_as(it.state, it.winner, standing) != (it.state, it.winner):
            drifted[str(it.name)] = standing
    return drifted


def drift_words(name: str, standing: ExperimentStanding) -> str:
    """One line of a plan about it."""
    given = f' for "{standing.winner}"' if standing.winner else ""
    why = f": {standing.why}" if standing.why else ""
    return (
        f'! experiment "{name}" is {standing.held}{given} by an operator since '
        f"{iso(standing.since)[:19]}Z{why} (it stays)"
    )


def require_cause(why: str) -> str:
    """The cause of a sample ratio mismatch, without spaces around it.

    Raises:
        UsageError: If it says nothing, or more than a report has room for.
    """
    cause = why.strip()
    if not cause or len(cause) > CAUSE_CHARACTERS_MAX:
        raise UsageError(
            "a sample ratio mismatch is acknowledged with its cause, in words of at most "
            f"{CAUSE_CHARACTERS_MAX} characters. Numbers are withheld until it is known"
        )
    return cause


def _acknowledged(
    order: ExperimentOrder, was: ExperimentStanding, phase: int, *, now: Instant
) -> ExperimentStanding:
    cause = require_cause(order.why)
    return replace(was, acknowledged=(*was.acknowledged, Acknowledged(phase, cause, now, order.of)))


def _after(
    order: ExperimentOrder, was: ExperimentStanding, written: str, *, now: Instant
) -> ExperimentStanding:
    if order.action == "start":
        held: Held = "" if written == "live" else "started"
        return ExperimentStanding(held, "", order.why, now, was.acknowledged)
    winner = order.winner if order.action == "conclude" else ""
    return ExperimentStanding("stopped", winner, order.why, now, was.acknowledged)


def _write(
    connection: Connection, order: ExperimentOrder, standing: ExperimentStanding, *, now: Instant
) -> None:
    connection.execute(
        "INSERT INTO operation (noun, name, state, why, at) VALUES ('experiment', ?, ?, ?, ?) "
        "ON CONFLICT (noun, name) DO UPDATE SET state = excluded.state, why = excluded.why, "
        "at = excluded.at",
        (order.experiment, msgspec.json.encode(standing).decode(), order.why, now),
    )
