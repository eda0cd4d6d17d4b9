"""Two simulations of the same events, side by side: what one change would have done."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from engine.simulation.counts import KINDS, Counts


def difference(before: Counts, after: Counts) -> dict[str, Any]:
    """What changes from one to the other, as `antiphon simulate --json` prints it.

    Only what differs is there: kinds in total, by step and by channel, reasons, and days.
    """
    return {
        "total": _changes(before.total, after.total),
        "held": _changes(before.held, after.held),
        "by_step": _nested(before.by_step, after.by_step),
        "by_channel": _nested(before.by_channel, after.by_channel),
        "by_day": _nested(before.by_day, after.by_day),
    }


def lines(before: Counts, after: Counts, *, names: tuple[str, str]) -> Iterable[str]:
    """The same as tables for a terminal: both figures and the change between them."""
    rows = [(kind, before.total[kind], after.total[kind]) for kind in KINDS]
    yield from _table("IN TOTAL", names, rows)
    for title, one, other in (
        ("SENT, BY STEP", before.by_step, after.by_step),
        ("SENT, BY CHANNEL", before.by_channel, after.by_channel),
    ):
        keys = sorted({*one, *other})
        found = [(key, one[key]["sends"], other[key]["sends"]) for key in keys]
        yield ""
        yield from _table(title, names, found)
    reasons = sorted(
        {*before.held, *after.held}, key=lambda why: -max(before.held[why], after.held[why])
    )
    if reasons:
        yield ""
        yield from _table(
            "HELD OR DROPPED", names, [(why, before.held[why], after.held[why]) for why in reasons]
        )


def _changes(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    keys = sorted({*before, *after})
    return {key: after[key] - before[key] for key in keys if after[key] != before[key]}


def _nested(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> dict[str, dict[str, int]]:
    empty: Counter[str] = Counter()
    found = {
        key: _changes(before.get(key, empty), after.get(key, empty))
        for key in sorted({*before, *after})
    }
    return {key: changes for key, changes in found.items() if changes}


def _table(title: str, names: tuple[str, str], rows: list[tuple[str, int, int]]) -> Iterable[str]:
    width = max([len(title), *(len(row[0]) for row in rows)])
    spans = [max(10, len(name)) for name in names]
    heads = "  ".join(f"{name:>{span}}" for name, span in zip(names, spans, strict=True))
    yield f"{title:<{width}}  {heads}  {'CHANGE':>10}"
    for name, one, other in rows:
        change = f"{other - one:+,}" if other != one else "="
        yield f"{name:<{width}}  {one:>{spans[0]},}  {other:>{spans[1]},}  {change:>10}"
