"""What comes later changes nothing of what was known: byte by byte, whatever the question."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Learning, Rating, RecommenderModel, Signal, Target
from engine.core.model.instants import DAY, MINUTE
from engine.learning.history.opened import History
from engine.store.database import Database
from tests.learning.logged import Log, day, event
from tests.learning.test_history_features import AS_OF, cleared, events

SIGNALS = (
    Signal("Product Viewed", 1, "properties.category"),
    Signal("Order Completed", 5, "properties.products.*.category"),
)
TARGET = Target("Order Completed", 10 * DAY)


def everything(history: History) -> list[Any]:
    """Every answer as bytes."""
    liked = history.interactions(SIGNALS)
    bought = history.purchases(zone="Europe/Berlin")
    hours = history.hours(("Message Clicked",), has_sessions=True, zone="Europe/Berlin")
    ids, followed = history.labels(TARGET, starts=day(20))
    arrays = [
        liked.user_ids, liked.items, liked.weights, liked.times, bought.ids, bought.times,
        bought.amounts, hours.ids, hours.hours, hours.acts, hours.sends, ids, followed,
    ]  # fmt: skip
    return [history.features(zone="Europe/Berlin").digest(), *(it.tobytes() for it in arrays)]


@st.composite
def later(draw: st.DrawFn) -> dict[str, Any]:
    """An event that had not happened by then, or of which nobody had told us."""
    it = draw(events(profiles=6))
    if draw(st.booleans()):
        it["at"] = AS_OF + draw(st.integers(0, 10 * DAY))
        it["told"] = draw(st.sampled_from([it["at"], day(1)]))  # a clock ahead of its time
    else:
        it["told"] = AS_OF + draw(st.integers(0, 10 * DAY))
    return it


def test_adding_later_events_leaves_every_answer_byte_identical(database: Database) -> None:
    log = Log(database)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(events(profiles=4), max_size=30), st.lists(later(), min_size=1, max_size=15))
    def law(told: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        cleared(log)
        log.people(1, 2, 3, 4)
        log.happened(*told)
        log.message(1, day(30))
        with log.history(AS_OF) as history:
            before = everything(history)

        log.people(5, 6, met=AS_OF)
        log.happened(*after)
        log.message(2, AS_OF)

        with log.history(AS_OF) as history:
            assert everything(history) == before

    law()


def test_an_event_dated_ahead_of_its_time_waits_for_it(database: Database) -> None:
    log = Log(database)
    log.people(1)
    log.happened(event(1, "Page Viewed", day(60), told=day(1)))

    assert log.features(day(60), ["interactions"]).numbers["n_interactions_7d"].tolist() == [0]
    assert log.features(day(60) + 1, ["interactions"]).numbers["n_interactions_7d"].tolist() == [1]


def test_an_event_from_before_there_were_clocks_is_no_event(database: Database) -> None:
    log = Log(database)
    log.people(1)
    log.happened(event(1, "Page Viewed", -5 * DAY, told=day(1)))

    table = log.features(AS_OF)

    assert table.numbers["never_acted"].tolist() == [1]
    assert table.numbers["tenure_days"].tolist() == [40]


def test_the_order_in_which_questions_are_asked_changes_no_answer(database: Database) -> None:
    log = Log(database)
    log.people(1, 2)
    log.happened(
        event(1, "Page Viewed", day(1), context={"timezone": "America/New_York"}),
        event(1, "Order Completed", day(2), {"revenue": 5, "products": [{"category": "Bags"}]}),
        event(2, "Product Viewed", day(3) + MINUTE, {"category": "Bags"}),
    )
    with log.history(AS_OF) as history:
        first = everything(history)
        again = everything(history)
        trade = history.features(["monetary"], zone="UTC").digest()
    with log.history(AS_OF) as history:
        assert history.features(["monetary"], zone="UTC").digest() == trade
        assert everything(history) == first == again


@pytest.mark.parametrize("liking", [SIGNALS, Rating("Rated", "properties.stars")])
def test_a_history_without_events_answers_with_nothing(
    sqlite_database: Database, liking: Any
) -> None:
    log = Log(sqlite_database)
    log.people(1)

    with log.history(AS_OF, learning=Learning()) as history:
        assert len(history.interactions(liking).items) == 0
        assert len(history.purchases().ids) == 0
        assert len(history.hours((), has_sessions=True, zone="UTC").ids) == 0
        assert history.items(RecommenderModel("x")).rows == {}
