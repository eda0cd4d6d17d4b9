"""The two questions, as one statement each: who is in a segment, and how many are, at instants.

The instants are a parameter of their own, so a trend is asked exactly as a single moment is.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import Condition
from engine.core.model.instants import Instant
from engine.segment_sql.conditions import segment_sql
from engine.segment_sql.plan import Needs, Plan

_PARAMETER: Final = re.compile(r"\$(p\d+)")
_NO_LISTS: Final[Mapping[str, MemberList]] = {}


class Statement(Struct, frozen=True):
    """SQL for the tables of `lake`, its values, and what of the store it reads."""

    text: str
    values: dict[str, Any]
    needs: Needs

    def at(self, instants: Sequence[Instant]) -> dict[str, Any]:
        """The parameters with which it is executed for these instants."""
        return {**self.values, "instants": list(instants)}


def members_sql(
    name: str,
    segments: Mapping[str, Condition],
    *,
    session_gap: int,
    lists: Mapping[str, MemberList] = _NO_LISTS,
    limit: int | None = None,
) -> Statement:
    """Rows (now, profile_id): everyone in a segment at each instant, in order.

    Args:
        limit: How many rows at most; None for all.
    Raises:
        CampaignError: If the segment, or one it refers to, does not exist or refers to itself.
    """
    plan = Plan(segments, session_gap=session_gap, lists=lists)
    holds = segment_sql(plan, name)
    rest = f"WHERE {holds} ORDER BY 1, 2"
    if limit is not None:
        rest += f" LIMIT {plan.bind(limit)}"
    return _assembled(plan, ["who.now", "who.profile_id"], rest)


def sizes_sql(
    names: Sequence[str],
    segments: Mapping[str, Condition],
    *,
    session_gap: int,
    lists: Mapping[str, MemberList] = _NO_LISTS,
) -> Statement:
    """A row (now, people, size of each named segment in order) for each instant, in order."""
    plan = Plan(segments, session_gap=session_gap, lists=lists)
    columns = [f"count(*) FILTER (WHERE {segment_sql(plan, name)})" for name in names]
    return _assembled(plan, ["who.now", "count(*)", *columns], "GROUP BY who.now ORDER BY 1")


def _assembled(plan: Plan, columns: Sequence[str], rest: str) -> Statement:
    parts = [
        "asked AS MATERIALIZED (SELECT DISTINCT unnest($instants::BIGINT[]) AS now)",
        "who AS MATERIALIZED (SELECT asked.now, p.* FROM profiles p JOIN asked "
        "ON p.known_from <= asked.now)",
    ]
    parts += [f"{name} AS MATERIALIZED ({sql})" for sql, name in plan.parts.items()]
    joins = [f"LEFT JOIN {leaf} ON {condition}" for leaf, condition in plan.joins.items()]
    lines = ["WITH " + ",\n".join(parts), f"SELECT {', '.join(columns)}", "FROM who", *joins, rest]
    text = "\n".join(lines)
    used = set(_PARAMETER.findall(text))
    values = {name: value for name, value in plan.bind.values.items() if name in used}
    return Statement(text, values, plan.needs)
