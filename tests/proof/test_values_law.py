"""Each operator says of a value in SQL what it says in the core: every operand with every value."""

from itertools import product
from typing import Any

import msgspec
import pytest

from engine.core.conditions.comparisons import compile_timed
from engine.core.model.conditions import Comparison
from engine.core.model.instants import DAY
from engine.core.paths import MISSING
from engine.segment_sql.binding import Binding
from engine.segment_sql.comparisons import Clock, passes
from engine.segment_sql.lake import Lake

TEXTS = (
    "", "a", "A", "a\nb", "ab", "b\n", "é", "É", "ﬀ", "😀", "x.y", "a.b", "%", "_", "a%", "\\",
    "ß", "SS", "İ", " a", "\t", "a\x01b", '"', "日本", "１２", "12", "-1", "a\u2028b", "\u212a",
    "k", "ſ", "null", "true",
)  # fmt: skip
DATES = (
    "2025-03-08", "2025-03-08T09:00", "2025-03-08T09:00:00.5Z", "20250308", "2025-W10-6",
    "2025-W10T09:00", "2025W106T0900", "2025-03-08T23:30-08:00", "2025-3-8", "2025-02-30",
    "0001-01-01", "9999-12-31", "9999-12-31T23:59-01:00", "2024-02-29",
)  # fmt: skip
OTHERS = (
    None, True, False, 0, 1, 1.0, 1.5, -3, 1e300, 2**53, 0.1, [], ["a"], ["a", None, 1, True],
    [[1]], {}, {"a": 1}, MISSING,
)  # fmt: skip
PATTERNS = (
    "a", ".", "^b", "b$", "^$", "a.b", "(?s)a.b", "(?i)é", "(?i)k", "(?i)s", r"\d", r"^\w+$",
    r"\bA", "[[:alpha:]]", r"\p{L}", r"\x{1F600}", "%", "a|b", "(a)(b)?", "(?m)^b", r"\z", "[^a]",
    r"\Q.\E", "", "(?U)a+",
)  # fmt: skip
NOW = 1_772_442_000_000_000
ZONE = "America/New_York"

CASES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("is", "is_not", "contains", "not_contains"), (*TEXTS, None, True, 0, 1, 1.5)),
    **dict.fromkeys(("in", "not_in"), ((), ("a", "é"), ("a", 1, None), (True, 0.1), (None,))),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), (*TEXTS, 0, 1, 1.5, 2**53)),
    "between": (("a", "k"), (0, 1), (1.5, -1)),
    **dict.fromkeys(("starts_with", "ends_with"), TEXTS),
    "matches": PATTERNS,
    "exists": (True, False),
    **dict.fromkeys(("before", "after"), (NOW, 1_741_392_000_000_000)),
    **dict.fromkeys(
        ("within_last", "within_next", "anniversary_within"), (1, DAY, 30 * DAY, 400 * DAY)
    ),
}


@pytest.mark.parametrize("operator", CASES)
def test_an_operator_says_the_same_of_every_value(operator: Any, lake: Lake) -> None:
    values = (*TEXTS, *DATES, *OTHERS)
    rows = [(n, None if it is MISSING else text(it)) for n, it in enumerate(values)]
    lake.duck.execute("CREATE OR REPLACE TEMP TABLE given (n BIGINT, v JSON)")
    lake.append("given", rows)

    differing = []
    for operand in CASES[operator]:
        comparison = Comparison(operator, operand)
        core = compile_timed(comparison)
        bind = Binding()
        sql = passes("v", comparison, Clock(f"{NOW}::BIGINT", f"'{ZONE}'"), bind)
        found = dict(lake.select(f"SELECT n, {sql} FROM given", bind.values))
        differing += [
            (operand, value, found[n])
            for n, value in enumerate(values)
            if found[n] is not core(value, NOW, ZONE)[0]
        ]

    assert differing == []


@pytest.mark.parametrize(("date", "now"), list(product(DATES, (0, NOW, 253_402_297_200_000_000))))
def test_no_date_however_it_is_written_makes_a_verdict_fail(date: str, now: int) -> None:
    for operator in ("within_last", "within_next", "anniversary_within"):
        holds, until = compile_timed(Comparison(operator, DAY))(date, now, ZONE)  # type: ignore[arg-type]

        assert holds in (True, False)
        assert until > now


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
