"""`refresh` of a model: when it is learnt anew. `daily`, `weekly`, or times as a schedule has them.

Read next: `schedule_forms`, whose words these are; `engine.schedule`, which says when they fire.
"""

from typing import Any, Final

from pydantic import model_validator

from campaigns.forms import Form, Shorthand, Span, When, Words, text_of
from campaigns.models import DAILY, WEEKLY
from campaigns.problems import advice
from campaigns.reading import Map, Text, shorten
from engine.schedule import Cron, Every, Rule, Times

PREFIX: Final = "refresh-"
"""The schedule that learns a model anew is called `refresh-NAME`; under it it is changed or paused
in `schedules`."""
WORDS: Final = {"daily": DAILY, "weekly": WEEKLY}
_WHEN: Final = ("daily", "weekly", "every", "cron", "rrule")


class RefreshForm(Form):
    """One of `every`, `cron` and `rrule`; zones are the workspace's."""

    every: Span | None = None
    cron: Words | None = None
    rrule: Words | None = None
    start: When | None = None

    @model_validator(mode="after")
    def _is_one_time(self) -> "RefreshForm":
        given = [name for name in ("every", "cron", "rrule") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say when; keep one")
        if not given:
            raise ValueError("a refresh says when: daily, weekly, {every: 6h} or {cron: …}")
        if self.rrule is not None and self.start is None:
            raise ValueError("an rrule needs its start: start: 2026-03-02T09:00:00+01:00")
        if self.start is not None and self.cron is not None:
            raise ValueError("start belongs to every or rrule; a cron line says all by itself")
        return self

    @property
    def times(self) -> Times:
        """When it fires."""
        if self.cron is not None:
            return Cron(str(self.cron))
        if self.rrule is not None:
            assert self.start is not None
            return Rule(str(self.rrule), self.start)
        assert self.every is not None
        return Every(self.every, self.start or 0)


def _in_words(value: Any) -> Any:
    """`refresh: daily` means `refresh: {every: 24h}`."""
    if not isinstance(value, Text):
        return value
    text = text_of(value)
    if text not in WORDS:
        raise ValueError(
            f'"{shorten(text)}" is not a time to refresh.{advice(text, _WHEN)} Or write '
            '{every: 6h} or {cron: "0 4 * * mon"}'
        )
    every = Map(line=value.line)
    every["every"] = Text("24h" if text == "daily" else "7d", line=value.line)
    every.key_lines["every"] = value.line
    return every


REFRESH_SHORTHAND: Final = Shorthand(_in_words, {"type": "string", "enum": list(WORDS)})
