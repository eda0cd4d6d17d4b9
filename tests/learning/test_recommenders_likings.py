"""Events become likings: weighed, aged, capped, and in one order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.model.instants import DAY
from engine.learning.recommenders.likings import item_id, likings, stars
from engine.learning.recommenders.tastes import star_taste, taste
from tests.learning.recommender_shop import NOW, interactions

HALF = 30 * DAY


def table_of(found: object) -> dict[tuple[int, str], float]:
    rows = np.repeat(found.users, np.diff(found.starts))  # type: ignore[attr-defined]
    items = found.items[found.codes]  # type: ignore[attr-defined]
    return dict(
        zip(zip(rows.tolist(), items.tolist(), strict=True), found.values.tolist(), strict=True)  # type: ignore[attr-defined]
    )


def test_a_liking_is_the_sum_of_weights_halved_for_every_half_life_that_has_passed() -> None:
    given_rows = interactions([(1, "a", 1, 0), (1, "a", 4, 30), (1, "b", 8, 60), (2, "a", 3, 90)])

    found = likings(given_rows, half_life=HALF, cap=20, now=NOW)

    assert table_of(found) == pytest.approx({(1, "a"): 3.0, (1, "b"): 2.0, (2, "a"): 0.375})


def test_one_person_likes_one_item_no_more_than_the_cap() -> None:
    found = likings(interactions([(1, "a", 1, 0)] * 50), half_life=HALF, cap=20, now=NOW)

    assert table_of(found) == {(1, "a"): 20.0}


def test_what_was_given_back_is_not_liked() -> None:
    bought_and_returned = [(1, "a", 5, 10), (1, "a", -5, 3), (1, "b", 5, 10)]

    found = likings(interactions(bought_and_returned), half_life=HALF, cap=20, now=NOW)

    assert list(table_of(found)) == [(1, "b")]
    assert found.items.tolist() == ["b"]


def test_ids_that_change_type_are_the_same_item() -> None:
    rows = [(1, 7, 1, 0), (1, "7", 1, 0), (1, 7.0, 1, 0), (1, " 7 ", 1, 0), (1, np.int64(7), 1, 0)]

    found = likings(interactions(rows), half_life=HALF, cap=20, now=NOW)

    assert table_of(found) == {(1, "7"): 5.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (float("nan"), ""), (True, ""), (1.5, "1.5"), ("007", "007"), ("", "")],
)
def test_what_is_no_id_is_no_item(value: object, text: str) -> None:
    assert item_id(value) == text


def test_what_cannot_be_weighed_is_left_out_and_counted() -> None:
    rows = [
        (1, "a", float("nan"), 1), (1, "a", float("inf"), 1), (1, "a", 1, -2), (1, None, 1, 1),
        (1, "secret", 1, 1), (1, "b", 1, 1),
    ]  # fmt: skip

    found = likings(interactions(rows), half_life=HALF, cap=20, now=NOW, unread={"secret"})

    assert list(table_of(found)) == [(1, "b")]
    assert found.n_dropped == {
        "weight is no number": 2, "in the future": 1, "without an item": 1,
        "about something sensitive": 1,
    }  # fmt: skip


def test_whoever_acts_more_in_a_day_than_a_person_can_is_a_machine() -> None:
    rows = [(1, f"{i}", 1, 1) for i in range(11)] + [(2, f"{i}", 1, i) for i in range(11)]

    found = likings(interactions(rows), half_life=HALF, cap=20, now=NOW, per_day_max=10)

    assert found.users.tolist() == [2]
    assert found.n_dropped == {"by machines": 11}


def test_the_last_stars_count_and_those_off_the_scale_do_not() -> None:
    rows = [(1, "a", 2, 9), (1, "a", 5, 1), (1, "a", 3, 5), (1, "b", 11, 1), (1, "b", 0.5, 1)]

    found = stars(interactions(rows), scale=(1, 5), now=NOW)

    assert table_of(found) == {(1, "a"): 5.0}


def test_nothing_gives_nothing() -> None:
    found = likings(interactions([]), half_life=HALF, cap=20, now=NOW)

    assert (len(found.users), len(found.items), len(found.values)) == (0, 0, 0)


deeds = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from("abcd"),
        st.sampled_from([-5.0, 1.0, 3.0, 5.0, float("nan")]),
        st.floats(-5, 200, allow_nan=False),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(rows=deeds, seed=st.integers(0, 1_000))
def test_the_same_events_in_any_order_make_the_same_bytes(
    rows: list[tuple[int, str, float, float]], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))

    one = likings(interactions(rows), half_life=HALF, cap=6, now=NOW)
    other = likings(interactions([rows[it] for it in order]), half_life=HALF, cap=6, now=NOW)

    assert one.values.tobytes() == other.values.tobytes()
    assert (one.items.tolist(), one.users.tolist()) == (other.items.tolist(), other.users.tolist())


@settings(max_examples=60, deadline=None)
@given(rows=deeds)
def test_one_person_is_weighed_at_a_decision_as_in_training(
    rows: list[tuple[int, str, float, float]],
) -> None:
    given_rows = interactions(rows)
    trained = table_of(likings(given_rows, half_life=HALF, cap=6, now=NOW))
    places = {"a": 0, "b": 1, "c": 2, "d": 3}

    for user in {it[0] for it in rows}:
        mine = given_rows.user_ids == user
        history = list(
            zip(given_rows.items[mine], given_rows.weights[mine], given_rows.times[mine].tolist(),
                strict=True)
        )  # fmt: skip
        now = taste(history, places=places, half_life=HALF, cap=6, middle=0, now=NOW)
        known = dict(zip(now.items.tolist(), np.expm1(now.values).tolist(), strict=True))
        expected = {places[i]: value for (u, i), value in trained.items() if u == user}

        assert known == pytest.approx(expected, abs=1e-9)


def test_the_last_stars_count_at_a_decision_too() -> None:
    history = [("a", 2.0, NOW - 9), ("a", 5.0, NOW - 1), ("a", 9.0, NOW), ("b", 1.0, NOW + 1)]

    found = star_taste(history, places={"a": 0, "b": 1}, scale=(1, 5), now=NOW)

    assert (found.items.tolist(), found.values.tolist()) == ([0], [5.0])
