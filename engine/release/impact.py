"""Whom a plan would touch: counts from the store beside the pure difference of `campaigns.plan`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from engine.core.journeys.migration import due_after_move
from engine.core.model.instants import Instant
from engine.core.model.steps import Delay, Step, StepId, WaitFor
from engine.store.connection import Connection

DUE_COUNTED_MAX: Final = 200_000
"""People whose new instant is computed one by one; beyond that counts are at least that many."""


class Standing(NamedTuple):
    """How many people stand at one step of one version of a campaign."""

    campaign: str
    version: str
    step: StepId
    n_people: int


class Due(NamedTuple):
    """How many act at once when they are moved; `is_least` if not everyone was looked at."""

    n_people: int
    is_least: bool = False


def people_inside(connection: Connection, campaigns: Sequence[str]) -> list[Standing]:
    """Who is inside these campaigns, by version and step."""
    rows = connection.select_in(
        "SELECT campaign, version, step, count(*) FROM enrollment WHERE campaign IN (?) "
        "AND status = 'active' GROUP BY campaign, version, step ORDER BY campaign, version, step",
        list(campaigns),
    )
    return [Standing(row[0], row[1], str(row[2]), int(row[3])) for row in rows]


class Leading(NamedTuple):
    """From the step where people stand to the one they are moved to."""

    people: Standing
    was: Step | None
    step: Step


def due_at_once(
    connection: Connection, leading: Sequence[Leading], *, now: Instant
) -> dict[Standing, Due]:
    """How many of those at each step act the moment they are moved on; one pass for all."""
    steps = {(it.people.campaign, it.people.version, it.people.step): it for it in leading}
    looked: dict[Standing, list[int]] = {it.people: [0, 0] for it in leading}
    rows = connection.select_in(
        "SELECT e.campaign, e.version, e.step, e.step_at, e.due_at, p.zone FROM enrollment e "
        "LEFT JOIN profile p ON p.id = e.profile_id "
        "WHERE e.campaign IN (?) AND e.status = 'active' LIMIT ?",
        sorted({campaign for campaign, _, _ in steps}),
        (DUE_COUNTED_MAX,),
    )
    for *place, step_at, due_at, zone in rows:
        it = steps.get(tuple(place))
        if it is None:
            continue
        counts = looked[it.people]
        counts[0] += 1
        if not step_at <= now - _least_length(it.step):
            continue
        due = due_after_move(it.was, it.step, step_at=step_at, due_at=due_at, zone=zone or "UTC")
        counts[1] += due is None or due <= now
    return {
        people: Due(n_due, is_least=n_looked < people.n_people)
        for people, (n_looked, n_due) in looked.items()
    }


def _least_length(step: Step) -> int:
    """Microseconds that must have passed before anyone can be due: it spares the calendar."""
    length = step.duration if isinstance(step, Delay) else None
    length = step.timeout if isinstance(step, WaitFor) else length
    return 0 if length is None else length.exact


def exposed(connection: Connection, experiments: Iterable[str]) -> dict[str, int]:
    """How many profiles each experiment's current phase has been seen by."""
    rows = connection.select_in(
        "SELECT experiment, phase, count(*) FROM exposure WHERE experiment IN (?) "
        "GROUP BY experiment, phase ORDER BY phase",
        list(experiments),
    )
    return {str(name): int(count) for name, _, count in rows}


def n_profiles(connection: Connection) -> int:
    """Everyone who was ever played."""
    return int(connection.execute("SELECT count(*) FROM profile_state")[0][0])


def members(connection: Connection, segments: Collection[str]) -> int:
    """How many profiles are inside all of these segments, as last played."""
    rows = connection.select_in(
        "SELECT count(*) FROM (SELECT profile_id FROM membership WHERE segment IN (?) "
        "GROUP BY profile_id HAVING count(*) = ?) AS inside",
        sorted(segments),
        (len(segments),),
    )
    return int(rows[0][0])


def known_versions(connection: Connection, campaigns: Sequence[str]) -> Mapping[str, set[str]]:
    """Every version that each of these campaigns ever had."""
    rows = connection.select_in(
        "SELECT campaign, version FROM campaign_version WHERE campaign IN (?)", list(campaigns)
    )
    found: dict[str, set[str]] = {}
    for name, version in rows:
        found.setdefault(name, set()).add(version)
    return found
