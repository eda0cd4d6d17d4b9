"""What the schedules of a replay did: for programs, and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.schedule_forms import MODEL_REFRESH
from engine.core.clocktime import iso
from engine.core.model.instants import Instant
from engine.learning.refreshing import Refreshed

DAYS_SHOWN: Final = 4


@dataclass
class Ran:
    """One schedule's runs.

    Attributes:
        instants: When it ran.
        said: What came of each run, in words.
        refreshed: What came of each training, of a model's schedule.
        why_not: Why it never ran, if that was not for want of time.
    """

    name: str
    job: str
    instants: list[Instant] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    refreshed: list[Refreshed] = field(default_factory=list)
    why_not: str = ""


def as_json(ran: Sequence[Ran]) -> list[dict[str, Any]]:
    """What `antiphon simulate --json` prints of schedules."""
    return [
        {
            "name": it.name,
            "job": it.job,
            "runs": len(it.instants),
            "last": iso(it.instants[-1]) if it.instants else None,
            "said": it.said[-1] if it.said else it.why_not,
            **({"model": _model(it)} if it.refreshed else {}),
        }
        for it in ran
    ]


def _model(it: Ran) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for at, done in zip(it.instants, it.refreshed, strict=False):
        by_status.setdefault(done.status, []).append(iso(at))
    return {
        "promoted": by_status.get("champion", []),
        "kept_aside": len(by_status.get("candidate", [])),
        "refused": len(by_status.get("refused", [])),
    }


def lines(ran: Sequence[Ran]) -> Iterator[str]:
    """The same for a terminal: one line a schedule, and for a model why it was not promoted."""
    width = max((len(it.name) for it in ran), default=0)
    for it in ran:
        yield f"  {it.name:<{width}}  {_in_words(it)}"


def _in_words(it: Ran) -> str:
    n = len(it.instants)
    if not n:
        return f"did not run: {it.why_not or 'its time did not come'}"
    if it.job != MODEL_REFRESH or not it.refreshed:
        return f"{n:,} {'run' if n == 1 else 'runs'}; the last: {it.said[-1]}"
    told = _model(it)
    parts = [f"trained {n:,} {'time' if n == 1 else 'times'}"]
    days = [at[:10] for at in told["promoted"]]
    if days:
        few = days if len(days) <= DAYS_SHOWN else [*days[:2], "…", days[-1]]
        parts.append(f"promoted {len(days):,} ({', '.join(few)})")
    if told["kept_aside"]:
        parts.append(f"kept aside {told['kept_aside']:,}")
    if told["refused"]:
        parts.append(f"refused {told['refused']:,}")
    not_read = [
        f"not read on {iso(at)[:10]}: {done.verdict}"
        for at, done in zip(it.instants, it.refreshed, strict=False)
        if done.status in ("refused", "candidate")
    ]
    return "; ".join([", ".join(parts), *not_read[-1:]])
