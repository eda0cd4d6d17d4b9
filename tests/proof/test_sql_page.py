"""The page that shows each condition as SQL says what the compiler does, of every kind."""

from collections.abc import Iterator

import msgspec

from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import (
    All,
    AnyOf,
    Comparison,
    EventCondition,
    EventMatch,
    Filter,
    ListCondition,
    Not,
    TraitCondition,
)
from engine.segment_sql import conditions
from engine.segment_sql.lake import Lake
from engine.segment_sql.statement import members_sql
from tests.segment_sql_page import EXAMPLES, PAGE, condition_of, page, statement


def test_the_page_of_sql_forms_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "it is old; run: python -m tests.segment_sql_page"


def test_the_page_shows_every_kind_of_condition() -> None:
    shown = {kind for text in EXAMPLES.values() for kind in kinds(condition_of(text))}

    assert shown == set(conditions.KINDS)
    assert {AnyOf, Not} <= shown


def test_every_statement_on_the_page_can_be_asked(lake: Lake) -> None:
    for table in ("profiles", "events", "traits", "consents", "withdrawn", "scores"):
        lake.duck.execute(f"DELETE FROM {table}")

    statements = {kind: statement(text) for kind, text in EXAMPLES.items()}
    answers = {kind: lake.select(it.text, it.at([0])) for kind, it in statements.items()}

    assert answers == {kind: [] for kind in EXAMPLES}


def test_no_word_of_a_user_is_in_the_text_of_a_statement() -> None:
    evil = "x') OR DROP TABLE events; --"
    where = (Filter(("properties", evil, "*", evil), (Comparison("contains", evil),)),)
    segments = {
        evil: All((
            EventCondition(EventMatch(evil, where)),
            TraitCondition(Filter((evil, "01", evil), (Comparison("matches", evil),))),
            ListCondition(evil),
        ))
    }  # fmt: skip
    lists = {evil: MemberList((evil,), frozenset({evil}))}

    it = members_sql(evil, segments, session_gap=1, lists=lists)

    assert "DROP" not in it.text
    for value in (evil, f"/{evil}", [evil]):
        assert value in it.values.values()


def kinds(condition: object) -> Iterator[type]:
    """The kinds of condition inside, the outermost too."""
    if type(condition) in conditions.KINDS:
        yield type(condition)
    if isinstance(condition, msgspec.Struct):
        for name in condition.__struct_fields__:
            yield from kinds(getattr(condition, name))
    elif isinstance(condition, tuple):
        for each in condition:
            yield from kinds(each)
