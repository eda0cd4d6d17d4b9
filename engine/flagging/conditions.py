"""`where` of an experiment as a condition of GrowthBook's SDKs, where theirs says the same.

Our comparisons never mix types, theirs sometimes do, and then are pinned to one. What two SDKs
read differently (patterns, dates, null, order of texts) is not written at all: the server asks.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.core.model.conditions import Comparison, Filter


def sdk_condition(where: Sequence[Filter]) -> dict[str, Any] | None:
    """The condition that holds for exactly the attributes that every filter passes.

    None if there is one that SDKs cannot be told. {} asks nothing.
    """
    parts = []
    for each in where:
        if any(part == "*" or "." in part or part.isdecimal() for part in each.path):
            return None  # elements of lists: SDKs follow no path through them
        for comparison in each.comparisons:
            written = _written(".".join(each.path), comparison)
            if written is None:
                return None
            parts.append(written)
    return {"$and": parts} if parts else {}


def _written(path: str, comparison: Comparison) -> dict[str, Any] | None:
    write, is_negated = _WRITERS.get(comparison.operator, (_never, False))
    found = write(comparison.operand)
    if found is None:
        return None
    condition = {path: found}
    return {"$not": condition} if is_negated else condition


def _is(operand: Any) -> dict[str, Any] | None:
    return {"$eq": operand} if _kind(operand) else None  # strict in every SDK: 1 is not true


def _in(operand: Any) -> dict[str, Any] | None:
    kinds = {_kind(it) for it in operand}
    # One kind: an attribute that is a list would otherwise match by any of its elements.
    if len(kinds) != 1 or kinds & {None, "boolean"}:
        return None
    return {"$in": list(operand), "$type": kinds.pop()}


def _ordered(*operators: str) -> Callable[[Any], dict[str, Any] | None]:
    def write(operand: Any) -> dict[str, Any] | None:
        bounds = operand if len(operators) > 1 else (operand,)
        if any(_kind(bound) != "number" for bound in bounds):
            return None  # texts: by code point here, by UTF-16 unit in JavaScript
        return {**dict(zip(operators, bounds, strict=True)), "$type": "number"}

    return write


def _never(_operand: Any) -> None:
    return None


def _kind(value: Any) -> str | None:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return None


_WRITERS: Final[dict[str, tuple[Callable[[Any], dict[str, Any] | None], bool]]] = {
    "is": (_is, False),
    "is_not": (_is, True),
    "in": (_in, False),
    "not_in": (_in, True),
    "gt": (_ordered("$gt"), False),
    "gte": (_ordered("$gte"), False),
    "lt": (_ordered("$lt"), False),
    "lte": (_ordered("$lte"), False),
    "between": (_ordered("$gte", "$lte"), False),
}
"""How each operator is written, and whether it is what is then denied."""
