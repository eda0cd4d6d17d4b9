"""Features against the same said in plain Python, and the rules of what counts, one by one."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Learning
from engine.core.model.campaigns import Profiling
from engine.core.model.instants import DAY, MINUTE
from engine.learning.history import Reading
from engine.learning.refusals import Refused
from engine.store.database import Database
from engine.store.events import OWN
from tests.learning.logged import BEGIN, Log, day, event, of, order, refund, text
from tests.learning.remembered import features_of

AS_OF = day(40)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
CATEGORIES = ("Shoes", "Bags", " Shoes ", "", 7, None)


@st.composite
def events(draw: st.DrawFn, profiles: int) -> dict[str, Any]:
    """Anything a log may hold: in any order, late, from the future, by machines and by us."""
    name = draw(
        st.sampled_from(
            ["Product Viewed", "Order Completed", "Order Refunded", "Message Opened",
             "Message Clicked", "Segment Entered", "Page Viewed"]
        )
    )  # fmt: skip
    at = BEGIN + draw(st.integers(-2 * DAY // (20 * MINUTE), 45 * DAY // (20 * MINUTE))) * (
        20 * MINUTE
    )
    # Categories that are texts: of numbers the reference knows nothing.
    category = draw(st.sampled_from(CATEGORIES[:4]))
    properties: dict[str, Any] = {}
    if name.startswith("Message"):
        properties = {"message": draw(st.integers(1, 4)), "is_machine": draw(st.booleans())}
    elif name == "Order Completed":
        properties = {"revenue": draw(st.sampled_from([0, 12.5, 99.99, -5.01, "x", None]))}
        if draw(st.booleans()):
            properties["products"] = [{"category": category}, {"category": "Bags"}]
    elif name == "Order Refunded":
        properties = {"revenue": draw(st.sampled_from([10, -3.3, None]))}
    else:
        properties = {"category": category}
    context: dict[str, Any] = {}
    if draw(st.booleans()):
        context["device"] = draw(
            st.sampled_from([{"type": "mobile", "os": "iOS"}, {"type": "desktop"}, {},
                             {"type": "bot"}])
        )  # fmt: skip
        context["location"] = {"country": draw(st.sampled_from(["DE", "FR"]))}
    if draw(st.integers(0, 3)) == 0:
        context["timezone"] = draw(st.sampled_from(ZONES))
    return event(
        draw(st.integers(1, profiles)),
        name,
        at,
        properties,
        told=at + draw(st.sampled_from([0, 0, 0, MINUTE, 3 * DAY, 30 * DAY])),
        flags=draw(st.sampled_from([0, 0, 0, 1, OWN])),
        context=context,
        traits={"timezone": ZONES[0]} if draw(st.integers(0, 9)) == 0 else None,
    )


def cleared(log: Log) -> None:
    for table in ("event_1", "profile", "message", "attempt"):
        log.execute(f"DELETE FROM {table}")


def test_the_features_are_those_that_a_reader_of_the_log_would_count(database: Database) -> None:
    log = Log(database)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(events(profiles=4), max_size=40), st.booleans())
    def law(told: list[dict[str, Any]], is_merged: bool) -> None:
        cleared(log)
        log.people(1, 2, 3, 4, met=BEGIN)
        told = _without_ties(told)
        log.happened(*told)
        sent = [(log.message(1, day(30)), day(30)), (log.message(2, day(31)), day(31))]
        sent.append((log.message(2, day(50)), day(50)))
        owners = {it: it for it in (1, 2, 3, 4)}
        if is_merged:
            log.merge(loser=2, winner=1)
            owners[2] = 1

        table = log.features(AS_OF, zone="Europe/Berlin")

        assert table.ids.tolist() == sorted(set(owners.values()))
        for profile in table.ids.tolist():
            mine = [it for it in told if owners[it["profile"]] == profile]
            expected = features_of(
                mine,
                as_of=AS_OF,
                met=BEGIN,
                zone="Europe/Berlin",
                messages=[it for it, to in zip(sent, (1, 2, 2), strict=True)
                          if owners[to] == profile],
            )  # fmt: skip
            found = of(table, profile)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name

    def _without_ties(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of two devices told at one instant the greater text counts: tested on its own."""
        for number, it in enumerate(told):
            if it["at"] % MINUTE == 0:
                it["at"] += number + 1
                it["told"] += number + 1
        log._n_messages = 0
        return told

    law()


def test_money_is_net_of_returns_and_orders_of_one_day_are_one_occasion(
    database: Database,
) -> None:
    log = Log(database)
    log.people(1)
    log.happened(
        order(1, day(1.1), 0.1), order(1, day(1.2), 0.2), order(1, day(5), 50),
        refund(1, day(6), 20), refund(1, day(6.5), -5), order(1, day(7), -3),
    )  # fmt: skip

    found = of(log.features(AS_OF, ["recency", "frequency", "monetary"]), 1)

    assert found["monetary"] == pytest.approx(0.3 + 50 - 20 - 5 - 3, abs=1e-12)
    assert found["frequency"] == 2
    assert found["recency_days"] == 35


def test_the_days_of_purchases_are_those_of_the_workspace(database: Database) -> None:
    # 23:30 and 00:30 UTC are one evening in New York.
    log = Log(database)
    log.people(1)
    log.happened(order(1, day(1) - 30 * MINUTE, 1), order(1, day(1) + 30 * MINUTE, 1))

    assert of(log.features(AS_OF, ["frequency"], zone="UTC"), 1)["frequency"] == 2
    assert of(log.features(AS_OF, ["frequency"], zone="America/New_York"), 1)["frequency"] == 1


def test_of_two_devices_told_at_one_instant_the_greater_text_counts(database: Database) -> None:
    log = Log(database)
    log.people(1)
    for kind in ("mobile", "desktop"):
        log.happened(event(1, "Page Viewed", day(1), context={"device": {"type": kind}}))

    assert of(log.features(AS_OF, ["device"]), 1)["device"] == "mobile"


def test_traits_become_numbers_days_and_texts_as_they_are_declared(database: Database) -> None:
    log = Log(database)
    log.people(1, 2)
    log.happened(
        event(1, "$identify", day(1), traits={"plan": "free", "ltv": 7, "vip": True}),
        event(1, "$identify", day(2), traits={"plan": "pro", "born": "2026-03-02"}),
        event(1, "$identify", day(3), traits={"plan": "gone"}, told=day(60)),
        event(2, "$identify", day(1), traits={"ltv": "much", "plan": None}),
    )
    reading = Reading(traits={"plan": "string", "ltv": "number", "vip": "boolean", "born": "date"})
    names = [f"traits.{it}" for it in reading.traits]

    table = log.features(AS_OF, names, reading=reading)

    assert of(table, 1) == {
        "traits.plan": "pro", "traits.ltv": 7.0, "traits.vip": 1.0, "traits.born:days_ago": 40.0,
    }  # fmt: skip
    nobody = of(table, 2)
    assert nobody["traits.plan"] == ""
    assert all(math.isnan(it) for name, it in nobody.items() if name != "traits.plan")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recencey", "recency"),
        ("traits.plann", 'Did you mean "plan"'),
        ("traits.email", "personal data"),
        ("device", "sensitive"),
    ],
)
def test_a_name_that_no_model_may_read_is_refused_with_the_nearest(
    sqlite_database: Database, name: str, said: str
) -> None:
    log = Log(sqlite_database)
    log.people(1)

    with pytest.raises(Refused, match=said):
        log.features(
            AS_OF,
            [name],
            reading=Reading(traits={"plan": "string", "email": "email"}),
            learning=Learning(sensitive=("device",)),
        )


def test_a_sealed_trait_is_refused_whoever_declared_it(sqlite_database: Database) -> None:
    log = Log(sqlite_database)
    log.people(1)
    log.happened(
        event(1, "$identify", day(1), traits={"iban": {"$sealed": "x", "$blind": "blind:y"}})
    )

    with pytest.raises(Refused, match="iban"):
        log.features(AS_OF, ["traits.iban"])


def test_who_refuses_to_be_profiled_is_not_there_before_and_after_it_is_played(
    database: Database,
) -> None:
    log = Log(database)
    log.people(1, 4, 5)
    log.people(2, traits={"profiling": False})
    log.people(3, traits={"profiling": True})
    # Accepted, not yet played, and dated after the instant: a refusal holds for every instant.
    log.happened(event(4, "$identify", day(90), traits={"profiling": False}))
    log.execute("UPDATE profile SET erased_at = ? WHERE id = 5", day(100))

    assert log.features(AS_OF).ids.tolist() == [1, 3]
    silent = Learning(profiling=Profiling(unknown="refuse"))
    assert log.features(AS_OF, learning=silent).ids.tolist() == [3]


def test_what_is_sensitive_is_no_affinity(database: Database) -> None:
    log = Log(database)
    log.people(1)
    log.happened(order(1, day(1), 5, ("a", "Health"), ("b", "Shoes")))

    found = of(log.features(AS_OF, ["affinities"], learning=Learning(sensitive=("Health",))), 1)

    assert found["shares"] == {"Shoes": 1.0}


def test_an_import_counts_only_where_it_is_asked_to(database: Database) -> None:
    # A year of orders loaded in one go: as of last month nobody had told us of any of it.
    log = Log(database)
    log.people(1, 2, met=day(100))
    log.happened(order(1, day(3), 5, told=day(100)))

    with pytest.raises(Refused, match="nobody was known"):
        log.features(AS_OF)
    table = log.features(AS_OF, told_by=day(101))
    assert table.ids.tolist() == [1]
    assert of(table, 1)["monetary"] == 5
    assert of(table, 1)["tenure_days"] == 37


def test_only_those_asked_for_are_in_the_table_and_strangers_are_none(database: Database) -> None:
    log = Log(database)
    log.people(1, 2, 3)
    log.happened(order(2, day(1), 5), order(3, day(1), 6))

    table = log.features(AS_OF, ["monetary"], among=[3, 99, 1])

    assert table.ids.tolist() == [1, 3]
    assert table.numbers["monetary"].tolist() == [0, 6]
    assert len(log.features(AS_OF, ["monetary"], among=[])) == 0
    some = log.features(AS_OF).rows(np.array([0, 2]))
    assert some.ids.tolist() == [1, 3]


def test_an_empty_history_is_refused_and_one_person_is_not(database: Database) -> None:
    log = Log(database)

    with pytest.raises(Refused, match="nobody was known"):
        log.features(AS_OF)

    log.people(1)
    found = of(log.features(AS_OF), 1)
    assert found["never_bought"] == found["never_acted"] == found["never_messaged"] == 1
    assert math.isnan(found["recency_days"])
    assert text(found["shares"]) == "{}"


def test_a_session_ends_with_a_silence_longer_than_the_workspaces_gap(database: Database) -> None:
    log = Log(database)
    log.people(1)
    minutes = (0, 30, 60, 91)
    log.happened(*(event(1, "Page Viewed", day(1) + it * MINUTE) for it in minutes))

    by_half_hours = of(log.features(AS_OF, ["sessions"]), 1)
    by_hours = of(log.features(AS_OF, ["sessions"], reading=Reading(session_gap=60 * MINUTE)), 1)

    assert (by_half_hours["n_sessions"], by_half_hours["session_minutes"]) == (2, 30)
    assert (by_hours["n_sessions"], by_hours["session_minutes"]) == (1, 91)
    assert by_hours["session_events"] == 4
