"""Where a dotted path leads inside JSON, as SQL: what `engine.core.paths` and `filters` say of it.

A value is an SQL expression of the type JSON: SQL's NULL where the path leads nowhere (missing),
the JSON text `null` where null stands. Keys travel as parameters, written as JSON pointers.
"""

from collections.abc import Callable, Sequence

from engine.segment_sql.binding import Binding


def follow(value: str, path: Sequence[str], bind: Binding) -> str:
    """The value at a path of keys and list positions."""
    canonical: list[str] = []
    for key in path:
        if _is_odd_position(key):
            value, canonical = _pointed(value, canonical, bind), []
            value = _odd_position(value, key, bind)
        else:
            canonical.append(key)
    return _pointed(value, canonical, bind)


def any_at(value: str, path: Sequence[str], bind: Binding, test: Callable[[str], str]) -> str:
    """Whether any value that a path leads to passes; `*` leads to every element of a list.

    A path that leads nowhere, an empty list included, leads to one missing value.
    """
    if "*" not in path:
        return test(follow(value, path, bind))
    found = all_at(value, path, bind)
    passing = f"len(list_filter({found}, lambda e: {test('e')})) > 0"
    missing = test("NULL::JSON")
    return f"(CASE WHEN coalesce(len({found}), 0) > 0 THEN {passing} ELSE {missing} END)"


def all_at(value: str, path: Sequence[str], bind: Binding) -> str:
    """The list of the values that a path leads to; missing ones are not in it."""
    parts: list[list[str]] = [[]]
    for key in path:
        if key == "*":
            parts.append([])
        else:
            parts[-1].append(key)
    found = f"list_value({follow(value, parts[0], bind)})"
    for part in parts[1:]:
        found = (
            f"flatten(list_transform({found}, lambda e: CAST(json_extract(e, '$[*]') AS JSON[])))"
        )
        if part:
            found = f"list_transform({found}, lambda e: {follow('e', part, bind)})"
    return f"list_filter({found}, lambda e: e IS NOT NULL)"


def _pointed(value: str, keys: Sequence[str], bind: Binding) -> str:
    if not keys:
        return value
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    return f"json_extract({value}, {bind(pointer)})"


def _is_odd_position(key: str) -> bool:
    """A position that a JSON pointer would not take for one, such as 01."""
    return key.isdecimal() and str(int(key)) != key


def _odd_position(value: str, key: str, bind: Binding) -> str:
    position = _pointed(value, [str(int(key))], bind)
    return (
        f"CASE WHEN json_type({value}) = 'ARRAY' THEN {position} "
        f"ELSE {_pointed(value, [key], bind)} END"
    )
