"""Which schedules Prefect's own clock may keep: those it reads as we do, for a year ahead.

Prefect reads cron lines by croniter and rules by dateutil, and resolves gaps and folds of the
clocks in its own way; where it would start a run at another instant, we start the deployment.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from engine.core.clocktime import iso, local_time, to_datetime
from engine.core.model.instants import DAY, SECOND, Instant
from engine.schedule import Cron, Every, Rule, next_fire
from engine.scheduling import rows
from engine.scheduling.plans import Plan, decode, encode, plans_of
from engine.store.bulk import insert
from engine.store.connection import Connection

if TYPE_CHECKING:
    from engine.scheduling.means import Means

YEAR: Final = 366 * DAY
DEPLOYMENT: Final = "antiphon"
_NAME: Final = "prefect_deployment"
_AT_ONCE: Final = 1_000
COMPARED_MAX: Final = 10_000
"""Fires of a year that are compared: one every hour, and no more; it takes seconds."""


def plans(means: "Means", _payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the live release schedules: the definition of each by name."""
    found = plans_of(means.live().workspace)
    return {"now": means.now(), "plans": {name: encode(plan) for name, plan in found.items()}}


def deployed(means: "Means", payload: Mapping[str, Any]) -> dict[str, Any]:
    """Remember what Prefect was given: {"name": of the deployments, "native": {name: definition}}.

    While a schedule's definition stays the one Prefect has, we leave its runs to Prefect's clock.
    """

    def change(connection: Connection) -> None:
        rows.keep(connection, plans_of(means.live().workspace), now=means.now())
        insert(
            connection, "setting", ("name", "value"), [(_NAME, str(payload["name"]))],
            on_conflict="replace",
        )  # fmt: skip
        connection.execute("UPDATE schedule SET native = ''")
        for name, definition in payload["native"].items():
            connection.execute("UPDATE schedule SET native = ? WHERE name = ?", (definition, name))

    means.write(change)
    return {}


def deployment_name(connection: Connection) -> str:
    """How the deployments of this workspace are called."""
    rows = connection.execute("SELECT value FROM setting WHERE name = ?", (_NAME,))
    return str(rows[0][0]) if rows else DEPLOYMENT


def prefect_schedule(plan: Plan) -> Any:
    """The nearest that Prefect has to a plan's times: a schedule of `prefect.client.schemas`."""
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

    match plan.times:
        case Cron(line=line):
            return CronSchedule(cron=line, timezone=plan.zone, day_or=True)
        case Every(span=span, start=start):
            return IntervalSchedule(
                interval=to_datetime(span) - to_datetime(0),
                anchor_date=to_datetime(start),
                timezone="UTC",
            )
        case Rule(text=text, start=start):
            began = local_time(start, plan.zone)
            return RRuleSchedule(
                rrule=f"DTSTART:{began:%Y%m%dT%H%M%S}\nRRULE:{text}", timezone=plan.zone
            )


def instant_of(moment: datetime) -> Instant:
    """An instant of Prefect's: it says datetime and gives pendulum's, which divide otherwise."""
    return int(moment.timestamp() // 1) * SECOND + moment.microsecond


async def disagreement(definition: str, *, now: Instant) -> str:
    """The first instant of the coming year that one clock names and the other does not, in words.

    "" where they agree.
    """
    from prefect.server.schemas import schedules as of_server

    plan = decode(definition)
    try:
        theirs = prefect_schedule(plan)
        reading = getattr(of_server, type(theirs).__name__)(**theirs.model_dump())
    except ValueError as error:
        return f"Prefect does not read it: {str(error).splitlines()[0]}"
    mark, n_left = now, COMPARED_MAX
    while mark < now + YEAR:
        found = await reading.get_dates(n=_AT_ONCE, start=to_datetime(mark + 1))
        for moment in found or [None]:
            ours = next_fire(plan.times, mark, plan.zone)
            given = None if moment is None else instant_of(moment)
            if ours != given:
                first = min(it for it in (ours, given) if it is not None)
                return (
                    ""
                    if first >= now + YEAR
                    else f"at {iso(first)} only one of the two clocks fires"
                )
            if given is None:
                return ""
            mark = given
        n_left -= len(found)
        if isinstance(plan.times, Every):
            return ""  # exact spans in UTC on both sides: the rest of the year is the same sum
        if n_left <= 0:
            return f"it fires more than {COMPARED_MAX:,} times a year, too often to compare"
    return ""
