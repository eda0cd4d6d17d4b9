"""Who drew which limit of a cap that tries several, and what came of it: the people of `caps`.

Everybody who was exposed and has lived the whole window counts, as drawn, sent to or not. Segments
are as they stood before the draw mattered, by the log: whatever is known of people today may have
come of the limit itself. Read next: `engine.learning.frequency`, which says what a limit is worth.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from campaigns.metrics import MetricDefinition, WarehouseMetric
from campaigns.problems import advice
from engine.core.errors import UsageError
from engine.core.model.campaigns import Cap, Experiment, Program
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY, Instant
from engine.core.roster import roster_of
from engine.readout.assigned import check_adds_up, exposed_units, span
from engine.readout.metric_sums import Unit, outcomes_side_by_side
from engine.readout.studies import Study
from engine.store.connection import Connection

if TYPE_CHECKING:
    from engine.learning.frequency import Curve, Doses, Worth

WINDOW: Final = 28 * DAY
"""Of a metric that has none: a cap's week, four times."""
LEAVING: Final = ("Message Unsubscribed", "Message Complained")
OTHERS: Final = "the others"
IDS_PER_READ: Final = 5_000


@dataclass(frozen=True)
class Trial:
    """A cap's trial and its people.

    Attributes:
        today: The control's limit.
        window: Microseconds after the exposure within which all is counted.
        n_waiting: Exposed people whose window is still open.
    """

    study: Study
    cap: Cap
    today: int
    metric: MetricDefinition
    window: int
    doses: "Doses"
    n_waiting: int


def cap_of(study: Study, program: Program) -> Cap:
    """The cap that a study is of.

    Raises:
        UsageError: If it is of something else.
    """
    tried = [cap for cap in program.caps if cap.tries]
    for cap in tried:
        if cap.name == study.name:
            return cap
    names = [cap.name for cap in tried]
    there = f"There is: {', '.join(names)}" if names else "No cap of antiphon.yaml tries any"
    raise UsageError(f'"{study.name}" is no cap that tries limits. {there}')


def metric_of(study: Study, known: Mapping[str, MetricDefinition], name: str) -> MetricDefinition:
    """What a limit is to bring: the metric of this name, "" for the first that the cap names.

    Raises:
        UsageError: If there is none, or it adds up over no people.
    """
    if name and name not in known:
        raise UsageError(f'there is no metric "{name}".{advice(name, known)}')
    found = known[name] if name else study.metrics[0][0]
    if isinstance(found, WarehouseMetric):
        raise UsageError(
            f'"{found.name}" lies in a warehouse, of which only sums come. Name a metric of events'
        )
    check_adds_up(found)
    return found


def trial_of(
    connection: Connection,
    study: Study,
    program: Program,
    metric: MetricDefinition,
    *,
    by: Sequence[str] = (),
    as_of: Instant,
) -> Trial:
    """Everybody who drew, with what they brought, whether they left, and what they were sent.

    Args:
        by: Segments; somebody in several counts in the first.
    Raises:
        Refused: If the limits do not stand in their shares, or too few drew one.
        UsageError: If a segment is not there or keeps no members.
    """
    from engine.learning.frequency import Doses

    cap = cap_of(study, program)
    experiment = program.experiments[study.name, study.phase]
    window = metric.within or WINDOW
    everybody = exposed_units(connection, study, as_of=as_of)
    units = [it for it in everybody if it.at + window <= as_of]
    outcome, *gone = outcomes_side_by_side(
        connection, units, [span(metric, window), *(_left_by(it, window) for it in LEAVING)],
        as_of=as_of,
    )  # fmt: skip
    limits = {it.name: int(it.value) for it in experiment.variants}
    doses = Doses.of(
        [limits[it.variant] for it in units],
        outcome,
        [any(it) for it in zip(*gone, strict=True)],
        _sends(connection, cap, units, window=window),
        shares=_shares(experiment),
        segment=_segments(connection, program, units, by) if by else None,
    )
    waiting = len(everybody) - len(units)
    return Trial(study, cap, cap.max, metric, window, doses, waiting)


def curves_of(trial: Trial, worth: "Worth", *, alpha: float) -> "dict[str, Curve | str]":
    """The worth of each limit in each segment, or why nothing can be said of it."""
    from engine.learning.frequency import Doses, curve
    from engine.learning.refusals import Refused

    it = trial.doses
    found: dict[str, Curve | str] = {}
    for place, name in enumerate(it.segments):
        rows = it.segment == place
        try:
            inside = Doses.of(
                it.dose[rows], it.outcome[rows], it.unsubscribed[rows], it.sends[rows],
                shares=it.shares,
            )  # fmt: skip
        except Refused as refused:
            found[name] = str(refused)
        else:
            found[name] = curve(inside, worth, alpha=alpha)
    return found


def _shares(experiment: Experiment) -> dict[int, float]:
    total = sum(it.weight for it in experiment.variants)
    return {int(it.value): it.weight / total for it in experiment.variants}


def _left_by(event: str, window: int) -> MetricDefinition:
    return MetricDefinition(
        name=event, title=event, match=EventMatch(event), measure="happened", value=None,
        minus=None, within=window, winsorize=None, covariate=None, better="lower", currency=None,
    )  # fmt: skip


def _sends(connection: Connection, cap: Cap, units: Sequence[Unit], *, window: int) -> list[int]:
    """How many messages that the cap counts left for each unit within its window."""
    sent: dict[int, list[Instant]] = defaultdict(list)
    ids = [it.profile_id for it in units]
    for start in range(0, len(ids), IDS_PER_READ):
        rows = connection.select_in(
            "SELECT profile_id, at, channel, topic FROM message WHERE profile_id IN (?) "
            "AND lane <> 0 AND status IN ('sent', 'unknown')",
            ids[start : start + IDS_PER_READ],
        )
        for profile_id, at, channel, topic in rows:
            if cap.channel in (None, channel) and cap.topic in (None, topic):
                sent[profile_id].append(at)
    return [sum(it.at <= at < it.at + window for at in sent.get(it.profile_id, ())) for it in units]


def _segments(
    connection: Connection, program: Program, units: Sequence[Unit], names: Sequence[str]
) -> list[str]:
    """The first of the segments that each unit was in just before its exposure."""
    kept = roster_of(program).segments
    found = [OTHERS] * len(units)
    for name in reversed(names):
        if name not in program.segments:
            raise UsageError(f'there is no segment "{name}".{advice(name, program.segments)}')
        if name not in kept:
            raise UsageError(
                f'nobody keeps who is in the segment "{name}": it asks for the time of day. Name '
                "another"
            )
        moves = _moves(connection, name)
        for place, unit in enumerate(units):
            before = [is_in for at, is_in in moves.get(unit.profile_id, ()) if at < unit.at]
            if before and before[-1]:
                found[place] = name
    return found


def _moves(connection: Connection, segment: str) -> dict[int, list[tuple[Instant, bool]]]:
    """When each profile came into a segment (True) and left it, in order.

    Whoever comes and goes within one instant, as an imported past does, has not moved.
    """
    rows = connection.execute(
        "SELECT profile_id, at, sum(CASE name WHEN 'Segment Entered' THEN 1 ELSE -1 END) "
        "FROM event WHERE name IN ('Segment Entered', 'Segment Exited') "
        "AND properties LIKE ? GROUP BY profile_id, at ORDER BY profile_id, at",
        (f'%"segment":"{segment}"%',),
    )
    found: dict[int, list[tuple[Instant, bool]]] = defaultdict(list)
    for profile_id, at, n_left in rows:
        if n_left:
            found[profile_id].append((at, n_left > 0))
    return found
