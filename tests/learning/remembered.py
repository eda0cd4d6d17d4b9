"""The features of one person as plain Python over a list of events: what the SQL is held against.

Written from docs/learning.md, slowly and without the engine: no lake, no shared constant.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

DAY = 86_400_000_000
MINUTE = 60_000_000
NOT_DONE_BY_PEOPLE = {
    "Assignment Conflict", "Campaign Triggered", "Profile Merged", "Segment Entered",
    "Segment Exited", "Message Delivered", "Message Bounced", "Message Deferred",
    "Message Complained", "Message Dropped", "Message Failed", "Message Rejected", "Message Sent",
    "Message Undelivered", "Send Time Explored", "Webhook Answered",
}  # fmt: skip


def features_of(
    events: Sequence[Mapping[str, Any]],
    *,
    as_of: int,
    met: int,
    zone: str,
    messages: Sequence[tuple[int, int]] = (),
    gap: int = 30 * MINUTE,
) -> dict[str, Any]:
    """Every feature of somebody, from their events in the order in which they were told.

    Args:
        messages: (id, when it was accepted) of what they were sent.
    """
    known = [it for it in events if 0 <= it["at"] < as_of and it["told"] < as_of]
    acts = [it for it in known if _is_behaviour(it)]
    own = _zone(known, acts, zone)
    return {
        **_trade(acts, as_of, zone),
        "tenure_days": (as_of - min([met, *(it["at"] for it in acts)])) / DAY,
        **_interactions(acts, as_of),
        **_sessions(sorted(it["at"] for it in acts), as_of, gap),
        "shares": _shares(acts),
        "never_chose": float(not _shares(acts)),
        "device": _last(acts, "device").get("type") or "",
        "os": _last(acts, "device").get("os") or "",
        "country": _last(acts, "location").get("country") or "",
        "zone": own,
        **_hours(acts, own),
        **_engagement(acts, [it for it in messages if it[1] < as_of]),
    }


def _is_behaviour(it: Mapping[str, Any]) -> bool:
    if it["flags"] & 6 or it["name"] in NOT_DONE_BY_PEOPLE:
        return False
    is_report = it["name"] in ("Message Opened", "Message Clicked")
    if is_report and it["properties"].get("is_machine") is True:
        return False
    return bool(it["context"].get("device", {}).get("type") != "bot")


def _zone(known: Sequence[Any], acts: Sequence[Any], own: str) -> str:
    for said in (
        [(it["traits"] or {}).get("timezone") for it in known],
        [it["context"].get("timezone") for it in acts],
        [it["context"].get("country_zone") for it in acts],
    ):
        told = [it for it in said if it]
        if told:
            return str(told[-1])
    return own


def _trade(acts: Sequence[Any], as_of: int, zone: str) -> dict[str, Any]:
    bought, amounts = [], []
    for it in acts:
        value = it["properties"].get("revenue")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if it["name"] == "Order Completed":
            if is_number:
                amounts.append(value)
            if not is_number or value >= 0:
                bought.append(it["at"])
        if it["name"] == "Order Refunded" and is_number:
            amounts.append(-abs(value))
    days = {datetime.fromtimestamp(at / 1e6, ZoneInfo(zone)).date() for at in bought}
    return {
        "recency_days": (as_of - max(bought)) / DAY if bought else math.nan,
        "frequency": len(days),
        "monetary": math.fsum(amounts),
        "never_bought": float(not bought),
    }


def _interactions(acts: Sequence[Any], as_of: int) -> dict[str, Any]:
    times = [it["at"] for it in acts]
    return {
        "interaction_recency_days": (as_of - max(times)) / DAY if times else math.nan,
        **{
            f"n_interactions_{days}d": sum(at >= as_of - days * DAY for at in times)
            for days in (7, 30, 90)
        },
        "never_acted": float(not times),
    }


def _sessions(times: Sequence[int], as_of: int, gap: int) -> dict[str, Any]:
    sessions: list[list[int]] = []
    for at in times:
        if sessions and at - sessions[-1][-1] <= gap:
            sessions[-1].append(at)
        else:
            sessions.append([at])
    n = len(sessions)
    return {
        "n_sessions": n,
        "n_sessions_30d": sum(it[0] >= as_of - 30 * DAY for it in sessions),
        "session_minutes": sum(it[-1] - it[0] for it in sessions) / (n * MINUTE) if n else math.nan,
        "session_events": len(times) / n if n else math.nan,
    }


def _shares(acts: Sequence[Any]) -> dict[str, float]:
    weights: Counter[str] = Counter()
    for it in acts:
        if it["name"] == "Order Refunded":
            continue
        lines = it["properties"].get("products") or [it["properties"]]
        for line in lines:
            if isinstance(line.get("category"), str) and line["category"].strip(" "):
                bought = it["name"] == "Order Completed"
                weights[line["category"].strip(" ")] += 5 if bought else 1
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _last(acts: Sequence[Any], root: str) -> Mapping[str, Any]:
    carried = [it for it in acts if it["context"].get(root)]
    return max(carried, key=lambda it: it["at"])["context"][root] if carried else {}


def _hours(acts: Sequence[Any], zone: str) -> dict[str, float]:
    shown = Counter(
        datetime.fromtimestamp(it["at"] / 1e6, UTC).astimezone(ZoneInfo(zone)).hour for it in acts
    )
    return {f"hour:{hour:02}": shown[hour] / len(acts) if acts else math.nan for hour in range(24)}


def _engagement(acts: Sequence[Any], sent: Sequence[tuple[int, int]]) -> dict[str, Any]:
    ids = {it for it, _ in sent}
    found: dict[str, Any] = {"n_sent": len(ids), "never_messaged": float(not ids)}
    for name, column in (("Message Opened", "open_rate"), ("Message Clicked", "click_rate")):
        told = {it["properties"].get("message") for it in acts if it["name"] == name}
        found[column] = len(ids & told) / len(ids) if ids else math.nan
    return found
