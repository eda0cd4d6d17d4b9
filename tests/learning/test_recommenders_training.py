"""What is learnt from, what is not, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.learning.artifact import pack
from engine.learning.recommenders import artifact_of, train
from engine.learning.recommenders.splitting import Part
from engine.learning.refusals import Refused
from tests.learning.recommender_shop import (
    NOW,
    STARS,
    a_model,
    catalog,
    interactions,
    purchases,
    stars_given,
)


def bytes_of(rows: Part, *, seed: int = 1, **changes: object) -> bytes:
    found = train(rows, catalog(), a_model(**changes), now=NOW, rng=np.random.default_rng(seed))
    return pack(artifact_of(found))


def without(rows: Part, user: int) -> Part:
    kept = rows.user_ids != user
    return Part(rows.user_ids[kept], rows.items[kept], rows.weights[kept], rows.times[kept])


@pytest.mark.parametrize("kind", ["collaborative", "content", "hybrid", "popular", "svd"])
def test_an_erased_person_leaves_the_same_bytes_as_one_who_never_came(kind: str) -> None:
    changes = {"algorithm": "svd", "rating": STARS} if kind == "svd" else {"kind": kind}
    made = stars_given if kind == "svd" else purchases
    rows, never_came = made(), made(but=17)

    assert bytes_of(without(rows, 17), **changes) == bytes_of(never_came, **changes)
    assert bytes_of(without(rows, 17), **changes) != bytes_of(rows, **changes)


def test_nobody_is_kept_in_what_was_learnt() -> None:
    rows = purchases()
    shifted = Part(rows.user_ids + 9_000_000_000, rows.items, rows.weights, rows.times)

    assert bytes_of(rows) == bytes_of(shifted)


@pytest.mark.parametrize("kind", ["collaborative", "hybrid"])
def test_the_order_of_events_changes_no_byte(kind: str) -> None:
    rows = purchases()
    order = np.random.default_rng(3).permutation(len(rows.times))
    shuffled = Part(*(it[order] for it in (rows.user_ids, rows.items, rows.weights, rows.times)))

    assert bytes_of(rows, kind=kind) == bytes_of(shuffled, kind=kind)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_other_names_for_people_and_items_give_the_same_lists(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = purchases(seed=seed)
    names = sorted(catalog())
    renamed = dict(zip(names, (f"p{it}" for it in rng.permutation(len(names))), strict=True))
    users = dict(zip(range(1, 61), rng.permutation(1_000)[:60].tolist(), strict=True))
    other = Part(
        np.asarray([users[it] for it in rows.user_ids.tolist()]),
        np.asarray([renamed[it] for it in rows.items], dtype=object),
        rows.weights,
        rows.times,
    )

    first = train(rows, {}, a_model(), now=NOW, rng=np.random.default_rng(1))
    second = train(other, {}, a_model(), now=NOW, rng=np.random.default_rng(1))

    history = [("tea-0", 5.0, NOW), ("toys-1", 5.0, NOW)]
    one = first.recommend(history, n=8, exclude=(), now=NOW)
    two = second.recommend([(renamed[i], w, t) for i, w, t in history], n=8, exclude=(), now=NOW)
    assert [it.score for it in one] == pytest.approx([it.score for it in two], rel=1e-3, abs=1e-5)
    differ = [(a, b) for a, b in zip(one, two, strict=True) if renamed[a.item] != b.item]
    assert all(a.score == pytest.approx(b.score, rel=1e-3, abs=1e-5) for a, b in differ)


def test_a_sensitive_category_is_neither_learnt_nor_shown_nor_cited() -> None:
    known = train(purchases(), catalog(), a_model(fallback=("popular", "new")), now=NOW,
                  rng=np.random.default_rng(1), sensitive=["Tea"])  # fmt: skip

    picks = known.recommend([("tea-0", 5.0, NOW), ("toys-0", 5.0, NOW)], n=30, exclude=(), now=NOW)

    assert not [it for it in known.names if it.startswith("tea")]
    assert not [it for it in picks if it.item.startswith("tea")]
    assert {it.item for pick in picks for it in pick.reason} == {"toys-0"}
    assert any("about something sensitive" in it for it in known.notes)


def test_past_the_most_items_only_the_most_popular_are_learnt_and_it_is_said() -> None:
    known = train(purchases(), catalog(), a_model(), now=NOW, rng=np.random.default_rng(1),
                  items_max=6)  # fmt: skip

    learnt = [known.names[it] for it in known.collaborative.learnt]  # type: ignore[union-attr]
    by_fame = sorted(known.names, key=lambda it: -known.popularity[known.places[it]])
    assert sorted(learnt) == sorted(by_fame[:6])
    assert known.notes[-1].endswith("what goes with what is learnt of the 6 most popular of them")


def test_stars_above_the_middle_speak_for_an_item_and_below_against_it() -> None:
    known = train(stars_given(people=200), catalog(), a_model(rating=STARS), now=NOW,
                  rng=np.random.default_rng(1))  # fmt: skip

    picks = known.recommend(
        [("tea-0", 5.0, NOW), ("tea-1", 4.5, NOW), ("toys-0", 1.0, NOW)], n=4, exclude=(), now=NOW
    )

    assert {it.item.split("-")[0] for it in picks} == {"tea"}
    assert "toys-0" not in {because.item for it in picks for because in it.reason}


ONE = (1, "a", 5.0, 1)


@pytest.mark.parametrize(
    ("rows", "items", "changes", "why", "mend"),
    [
        ([], {}, {}, "has no items: nothing was acted on and the catalog is empty", "add products"),
        ([], {"a": {}, "b": {}}, {}, "nobody acted on any of 2 items", "events it names arrive"),
        ([(1, "a", float("nan"), 1)], {"a": {}}, {}, "1 weight is no number were left out", ""),
        ([(1, "a", 5, -9)], {"a": {}}, {}, "1 in the future were left out", "events"),
        ([(p, "a", 5, 1) for p in range(9)], {}, {}, 'one item only, "a"', "kind: popular"),
        ([ONE, (1, "b", 5, 1)], {}, {}, "of 1 person, 1 liked two items", "kind: popular"),
        ([ONE, (2, "b", 5, 1)], {}, {}, "of 2 people, 0 liked two items", "kind: popular"),
        ([ONE], {"a": {"title": "x"}}, {"kind": "content"}, 'there is one item, "a"', "catalog"),
        ([ONE], {"a": {}, "b": {}}, {"kind": "content"}, "of 2 items none has any of: title, cat",
         "fill these columns"),
        ([ONE, (1, "b", 5, 1)], {}, {"algorithm": "svd"}, "there are no ratings", "use ease"),
        ([], {}, {"kind": "popular"}, "has no items", "add products"),
    ],
)  # fmt: skip
def test_too_little_is_refused_with_what_is_missing(
    rows: list[tuple[object, ...]], items: dict[str, dict[str, object]],
    changes: dict[str, object], why: str, mend: str,
) -> None:  # fmt: skip
    with pytest.raises(Refused) as refused:
        train(interactions(rows), items, a_model(**changes), now=NOW, rng=np.random.default_rng(1))

    assert why in refused.value.why
    assert mend in refused.value.mend


def test_one_person_and_one_item_are_enough_for_what_is_popular() -> None:
    known = train(interactions([ONE]), {}, a_model(kind="popular"), now=NOW,
                  rng=np.random.default_rng(1))  # fmt: skip

    assert [it.item for it in known.recommend([], n=3, exclude=(), now=NOW)] == ["a"]
