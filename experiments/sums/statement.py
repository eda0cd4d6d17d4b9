"""Sums made where the data lies: portable SQL around a user's own query, so that only sums leave.

The user's query yields one row per unit or several, columns `unit` and `value` (more where asked,
such as a ratio's denominator), and `at` where windows are wanted. The assignment, a table of ours
or a query of theirs, yields `unit`, `variant`, and with windows `exposed_at`, `until_at` and (for a
covariate) `since_at`: instants are only compared, so any type that compares will do. Standard SQL
throughout (WITH, CASE, SUM, ROW_NUMBER; no FILTER, no GROUPING SETS, no QUALIFY; names of our own
begin with antiphon_, so that none hides a table of theirs): the same text
runs on PostgreSQL, SQLite, DuckDB and the warehouses. Read next: `warehouse`, which asks it.
"""

from dataclasses import dataclass
from re import match
from typing import Final, Literal

from experiments.errors import DataError

How = Literal["sum", "happened", "count"]
"""What a unit's rows come to: their values added, whether any is above 0, how many there are."""

BEFORE: Final = "before"
"""Suffix of a covariate's name: the same value in (since_at, exposed_at]."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Who is in which variant.

    Attributes:
        sql: A query, or the name of a table in parentheses-free SQL: `SELECT * FROM assigned`.
        has_times: Whether it has `exposed_at` and `until_at`.
        has_since: Whether it has `since_at` too.
        by: A column of few values to group by beside the variant: a stratum, or one dimension.
    """

    sql: str
    has_times: bool = False
    has_since: bool = False
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A user's query for one metric.

    Attributes:
        name: Of the metric.
        sql: Yields `unit`, every column of `values`, and `at` if `has_times`.
        values: Columns that are summed per unit: one, or a ratio's numerator and denominator.
        how: For all values, or for each.
        has_times: Count only rows in (exposed_at, until_at].
        covariate: Sum the rows in (since_at, exposed_at] too.
        cap_share: Quantile of the non-zero sums, over all variants, at which larger ones are cut.
    """

    name: str
    sql: str
    values: tuple[str, ...] = ("value",)
    how: How | tuple[How, ...] = "sum"
    has_times: bool = False
    covariate: bool = False
    cap_share: float | None = None

    @property
    def hows(self) -> tuple[How, ...]:
        """What each value's rows come to."""
        return self.how if isinstance(self.how, tuple) else (self.how,) * len(self.values)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what a unit's rows come to: the values, then the same before exposure."""
        plain = (self.name,) if len(self.values) == 1 else tuple(
            f"{self.name}: {value}" for value in self.values
        )  # fmt: skip
        if not self.covariate:
            return plain
        return (*plain, *(f"{column} {BEFORE}" for column in plain))


def variants_statement(assignment: Assignment) -> str:
    """How many variants there are at all: asked first, before anything heavy."""
    return f"SELECT COUNT(DISTINCT variant) FROM ({clean(assignment.sql)}) a"


def mixed_statement(assignment: Assignment) -> str:
    """Per variant: its units, those of them in another one too, and these each as one share.

    A unit in k variants is a share of 1/k in each, so that the shares add up to the units.
    """
    return (
        f"WITH antiphon_assigned AS (SELECT unit, variant FROM ({clean(assignment.sql)}) a"
        " WHERE unit IS NOT NULL AND variant IS NOT NULL GROUP BY unit, variant),\n"
        "antiphon_counted AS (SELECT unit, COUNT(*) AS n FROM antiphon_assigned GROUP BY unit)\n"
        "SELECT a.variant, COUNT(*), SUM(CASE WHEN c.n > 1 THEN 1 ELSE 0 END),\n"
        "SUM(CASE WHEN c.n > 1 THEN 1.0E0 / c.n ELSE 0.0E0 END)\n"
        "FROM antiphon_assigned a JOIN antiphon_counted c ON c.unit = a.unit\n"
        "GROUP BY a.variant ORDER BY a.variant"
    )


def cap_statement(assignment: Assignment, query: Query, value: int) -> str:
    """The two order statistics around the cap of one value: place, how many there are, value.

    The quantile is that of the sums that are not 0, of all variants together.
    """
    assert query.cap_share is not None
    position = f"{query.cap_share!r} * (n - 1)"
    return (
        f"{_per_unit(assignment, query)},\n"
        f"antiphon_ranked AS (SELECT v{value} AS v, ROW_NUMBER() OVER (ORDER BY v{value}) AS place,"
        f" COUNT(*) OVER () AS n FROM antiphon_observed WHERE v{value} <> 0)\n"
        f"SELECT place, n, v FROM antiphon_ranked WHERE place > {position}"
        f" AND place - 2 <= {position} ORDER BY place"
    )


def sums_statement(
    assignment: Assignment,
    query: Query,
    *,
    limits: tuple[float | None, ...] = (),
    clustered: bool = False,
) -> str:
    """One statement: per variant (and level), the count and the sums around the pooled means.

    Args:
        limits: Of each value that is capped, its cap; None where there is none.
        clustered: Add up the units of one level first (`assignment.by` names their cluster): rows
            are then clusters, and the last column is their number of units.
    Returns:
        SQL whose rows are: variant, level or NULL, n, the pooled means, a sum per column, one per
        pair i <= j, and how many rows of the query had no value.
    """
    size = len(query.columns)
    cut = [
        f"CASE WHEN v{i} > {limit!r} THEN {limit!r} ELSE v{i} END AS v{i}"
        if i < len(limits) and (limit := limits[i]) is not None
        else f"v{i}"
        for i in range(size)
    ]
    grouped, summed = "", "antiphon_cut"
    if clustered:
        assert assignment.by
        totals = ", ".join(f"SUM(v{i}) AS v{i}" for i in range(size))
        grouped = (
            f"antiphon_grouped AS (SELECT variant, level, {totals}, 1.0E0 * COUNT(*) AS v{size},"
            " SUM(n_empty) AS n_empty FROM antiphon_cut GROUP BY variant, level),\n"
        )
        summed, size = "antiphon_grouped", size + 1
    means = ", ".join(f"AVG(v{i}) AS c{i}" for i in range(size))
    left = [f"(v{i} - c{i})" for i in range(size)]
    sums = [f"MIN(c{i})" for i in range(size)]
    sums += [f"SUM({term})" for term in left]
    sums += [f"SUM({left[i]} * {left[j]})" for i in range(size) for j in range(i, size)]
    has_levels = bool(assignment.by) and not clustered
    level, by = ("level", ", level") if has_levels else ("NULL", "")
    return (
        f"{_per_unit(assignment, query)},\n"
        f"antiphon_cut AS (SELECT variant, level, n_empty, {', '.join(cut)}"
        f" FROM antiphon_observed),\n{grouped}"
        f"antiphon_centre AS (SELECT {means} FROM {summed})\n"
        f"SELECT variant, {level}, COUNT(*), {', '.join(sums)}, SUM(n_empty)\n"
        f"FROM {summed} CROSS JOIN antiphon_centre GROUP BY variant{by} ORDER BY variant{by}"
    )


def clean(sql: str) -> str:
    """A user's query without the semicolon at its end.

    Raises:
        DataError: If it is empty or more than one statement.
    """
    text = sql.strip().rstrip(";").rstrip()
    if not text:
        raise DataError("the query is empty; it must yield the columns unit and value")
    if ";" in _without_quotes(text):
        raise DataError("the query holds several statements; it must be one SELECT")
    # A comment to the line's end must not swallow what is put behind the query.
    return f"{text}\n"


def first_word(sql: str) -> str:
    """The first word of a query that is no comment, in small letters; "(" where that opens it.

    >>> first_word("-- all orders\\n/* paid */ SELECT 1")
    'select'
    """
    rest = sql.lstrip()
    while rest.startswith(("--", "/*")):
        end = "\n" if rest.startswith("--") else "*/"
        rest = rest.partition(end)[2].lstrip()
    word = match(r"\(|[A-Za-z]+", rest)
    return word[0].lower() if word else ""


def _per_unit(assignment: Assignment, query: Query) -> str:
    """One row a unit: variant, level, v0, v1, …; units in two variants are in none.

    A unit's rows are added up before they are joined, and everyone assigned is there, with 0 if
    the query says nothing of them.
    """
    times = query.has_times
    clocks = [name for name, wanted in (
        ("exposed_at", times), ("until_at", times), ("since_at", query.covariate)
    ) if wanted]  # fmt: skip
    kept = "".join(f", MIN({name}) AS {name}" for name in clocks)
    level = f", MIN({assignment.by}) AS level" if assignment.by else ", NULL AS level"
    after = "m.at > one.exposed_at AND m.at <= one.until_at" if times else "m.unit IS NOT NULL"
    windows = [after]
    if query.covariate:
        windows.append("m.at > one.since_at AND m.at <= one.exposed_at")
    terms = [
        _term(how, value, window)
        for window in windows
        for how, value in zip(query.hows, query.values, strict=True)
    ]
    named = ", ".join(f"{term} AS v{i}" for i, term in enumerate(terms))
    empty = " OR ".join(f"m.{value} IS NULL" for value in query.values)
    return (
        f"WITH antiphon_one AS (SELECT unit, MIN(variant) AS variant{level}{kept}\n"
        f"FROM ({clean(assignment.sql)}) a WHERE unit IS NOT NULL AND variant IS NOT NULL\n"
        "GROUP BY unit HAVING MIN(variant) = MAX(variant)),\n"
        f"antiphon_observed AS (SELECT one.unit, one.variant, one.level, {named},\n"
        f"SUM(CASE WHEN m.unit IS NOT NULL AND ({empty}) THEN 1 ELSE 0 END) AS n_empty\n"
        f"FROM antiphon_one one LEFT JOIN ({clean(query.sql)}) m ON m.unit = one.unit\n"
        "GROUP BY one.unit, one.variant, one.level)"
    )


def _term(how: How, value: str, window: str) -> str:
    match how:
        case "sum":
            number = f"CAST(m.{value} AS DOUBLE PRECISION)"
            return f"SUM(CASE WHEN {window} AND m.{value} IS NOT NULL THEN {number} ELSE 0.0E0 END)"
        case "happened":
            return f"MAX(CASE WHEN {window} AND m.{value} > 0 THEN 1.0E0 ELSE 0.0E0 END)"
        case "count":
            return f"SUM(CASE WHEN {window} AND m.{value} IS NOT NULL THEN 1.0E0 ELSE 0.0E0 END)"


def _without_quotes(text: str) -> str:
    """The text less what stands in quotes and comments, where a semicolon means nothing."""
    left, quote, i = [], "", 0
    while i < len(text):
        pair, sign = text[i : i + 2], text[i]
        if quote:
            if text.startswith(quote, i):
                i += len(quote) - 1
                quote = ""
        elif pair == "--":
            quote = "\n"
        elif pair == "/*":
            quote = "*/"
        elif sign in "'\"`":
            quote = sign
        else:
            left.append(sign)
        i += 1
    return "".join(left)
