"""What a simulation counts: sends, holds and drops per day, channel, step and reason.

Holds are counted from effects, because a message held and sent within one batch leaves no row of
its own that says so; ends (sent, dropped, ghost) are read from the message rows, because the
outbox may still refuse what the tick allowed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.core.clocktime import to_datetime
from engine.core.model.effects import Effect, Hold
from engine.core.model.instants import Instant
from engine.store.connection import Connection

KINDS: Final = ("sends", "ghosts", "deferred", "dropped")

_KIND_OF: Final = {
    "sent": "sends",
    "unknown": "sends",
    "ghost": "ghosts",
    "dropped": "dropped",
    "failed": "dropped",
}
_INSTANTS: Final = re.compile(r",? (?:next opening|until) \d{4}-\d\d-\d\dT[\d:.]+Z")


class Counts:
    """Grows with every batch; `finish` adds how the messages ended."""

    def __init__(self, *, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self.total: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.by_day: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.by_step: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.by_channel: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def observe(self, effects: Sequence[Effect]) -> None:
        """Count the holds among the effects of one profile's batch."""
        for it in effects:
            if isinstance(it, Hold):
                self.held[reason_in_words(it.why)] += 1
                self._count("deferred", it.at, it.draft.campaign, it.step, it.draft.channel)

    def finish(self, connection: Connection) -> None:
        """Count how every message ended."""
        for campaign, step, channel, status, reason, at in connection.execute(
            "SELECT campaign, step, channel, status, reason, at FROM message "
            "WHERE channel <> 'webhook'"  # calls reach a machine, not a person
        ):
            kind = _KIND_OF.get(status)
            if kind is None:
                continue
            if kind == "dropped":
                self.held[reason_in_words(reason)] += 1
            self._count(kind, at, campaign, step, channel)

    def _count(self, kind: str, at: Instant, campaign: str, step: str, channel: str) -> None:
        self.total[kind] += 1
        self.by_day[self._day(at).isoformat()][kind] += 1
        self.by_step[f"{campaign}/{step}"][kind] += 1
        if channel:
            self.by_channel[channel][kind] += 1

    def _day(self, at: Instant) -> date:
        return to_datetime(at).astimezone(self._zone).date()

    def as_json(self) -> dict[str, Any]:
        """The object that `antiphon simulate --json` prints."""
        return {
            **{kind: self.total[kind] for kind in KINDS},
            "held": dict(self.held.most_common()),
            "by_day": [{"day": day, **_all(self.by_day[day])} for day in sorted(self.by_day)],
            "by_step": {step: _all(self.by_step[step]) for step in sorted(self.by_step)},
            "by_channel": {name: _all(self.by_channel[name]) for name in sorted(self.by_channel)},
        }

    def lines(self) -> Iterable[str]:
        """Tables for a terminal."""
        yield from _table("STEP", self.by_step)
        yield ""
        yield from _table("CHANNEL", self.by_channel)
        if self.held:
            yield ""
            yield "HELD OR DROPPED, BY REASON"
            for reason, n in self.held.most_common():
                yield f"  {n:>8,}  {reason}"
        yield ""
        yield from _table("MONTH", self._months())

    def _months(self) -> dict[str, Counter[str]]:
        months: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for day, counted in self.by_day.items():
            months[day[:7]] += counted
        return months


def reason_in_words(why: str) -> str:
    """A reason without the instant in it, so that equal reasons count together.

    >>> reason_in_words("cap: 3 emails in 7 days, next opening 2026-03-04T09:00:00Z")
    'cap: 3 emails in 7 days'
    """
    return _INSTANTS.sub("", why)


def _all(counted: Counter[str]) -> dict[str, int]:
    return {kind: counted[kind] for kind in KINDS}


def _table(title: str, rows: dict[str, Counter[str]]) -> Iterable[str]:
    if not rows:
        yield f"{title}: none"
        return
    width = max([len(title), *map(len, rows)])
    yield f"{title:<{width}}" + "".join(f"  {kind.upper():>9}" for kind in KINDS)
    for name in sorted(rows):
        yield f"{name:<{width}}" + "".join(f"  {rows[name][kind]:>9,}" for kind in KINDS)
