"""`schedules` of antiphon.yaml: recurring jobs of the engine, with the times at which they run.

A job of ours has its own times already; by its name they are changed. Read next: `schedule_checks`;
`engine.schedule`, which says when a schedule fires; `engine.scheduling`, which runs it.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, model_validator

from campaigns.forms import Flag, Form, Slug, Span, When, Words, Zone, one_of
from engine.core.model.instants import HOUR, MINUTE
from engine.schedule import Cron, Every, Rule, Times

BUILT_IN: Final[Mapping[str, Times]] = {
    "bandit-updates": Every(5 * MINUTE),
    "experiment-reports": Cron("0 5 * * *"),
    "segment-backfill": Every(15 * MINUTE),
    "retention": Cron("30 3 * * *"),
}
"""What every engine does by itself, and when unless the workspace says otherwise."""
MODEL_REFRESH: Final = "model-refresh"
JOBS: Final = (*BUILT_IN, "broadcast", MODEL_REFRESH)
WHEN: Final = ("cron", "every", "rrule")
GRACE: Final = HOUR


class ScheduledForm(Form):
    """One schedule: what it runs, and when by one of `cron`, `every` and `rrule`.

    `grace` is how late a run may still begin; of several that were missed only the latest does.
    """

    run: Annotated[str | None, BeforeValidator(one_of(*JOBS))] = None
    cron: Words | None = None
    every: Span | None = None
    rrule: Words | None = None
    start: When | None = None
    zone: Zone | None = None
    grace: Span = GRACE
    paused: Flag = False
    campaign: Slug | None = None
    audience: Slug | None = None

    @model_validator(mode="after")
    def _is_one_time(self) -> "ScheduledForm":
        given = [name for name in WHEN if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say when; keep one")
        if self.rrule is not None and self.start is None:
            raise ValueError("an rrule needs its start: start: 2026-03-02T09:00:00+01:00")
        if self.start is not None and self.every is None and self.rrule is None:
            raise ValueError("start belongs to every or rrule; a cron line says all by itself")
        if self.zone is not None and self.every is not None:
            raise ValueError("every counts exact time, whatever the zone. Delete zone")
        return self

    def times(self, default: Times | None) -> Times | None:
        """When it fires; the default where nothing is said."""
        if self.cron is not None:
            return Cron(str(self.cron))
        if self.every is not None:
            return Every(self.every, self.start or 0)
        if self.rrule is not None:
            assert self.start is not None
            return Rule(str(self.rrule), self.start)
        return default
