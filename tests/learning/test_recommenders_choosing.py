"""Lists out of sources: in order, mixed, refilled, and never with what is excluded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Exclusions, Fallback
from engine.core.model.instants import DAY
from engine.learning.recommenders.choosing import Mixing, Source, choose, descending
from engine.learning.recommenders.exclusions import exclusion
from engine.learning.recommenders.training import train
from tests.learning.recommender_shop import NOW, TASTES, a_model, catalog, purchases

NO_CATEGORY = Mixing(category=np.full(100, -1, dtype=np.int32))


@settings(max_examples=80, deadline=None)
@given(
    scores=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0]), max_size=60),
    first=st.integers(1, 70),
)
def test_walking_down_is_a_whole_sort_whatever_is_fetched_first(
    scores: list[float], first: int
) -> None:
    array = np.asarray(scores, dtype=np.float64)

    found = list(descending(array, first=first))

    expected = [it for it in np.argsort(-array, kind="stable").tolist() if array[it] > -np.inf]
    assert found == expected


def test_a_list_is_refilled_past_what_was_fetched_first() -> None:
    scores = np.arange(100, 0, -1).astype(float)

    found = choose(
        [Source("x", scores)], n=4, is_excluded=lambda item: item < 90, mixing=NO_CATEGORY
    )

    assert [it.item for it in found] == [90, 91, 92, 93]


def test_what_one_source_leaves_open_the_next_fills_without_repeating() -> None:
    first = np.asarray([-np.inf, 2.0, 1.0, -np.inf])
    second = np.asarray([1.0, 9.0, 8.0, 2.0])

    found = choose(
        [Source("first", first), Source("second", second)],
        n=4, is_excluded=lambda item: False, mixing=NO_CATEGORY,
    )  # fmt: skip

    assert [(it.item, it.source) for it in found] == [
        (1, "first"), (2, "first"), (3, "second"), (0, "second"),
    ]  # fmt: skip


def test_a_later_source_is_not_asked_while_the_first_fills_the_list() -> None:
    def sources():  # type: ignore[no-untyped-def]
        yield Source("first", np.ones(5))
        raise AssertionError("asked for more than was needed")

    assert len(choose(sources(), n=5, is_excluded=lambda item: False, mixing=NO_CATEGORY)) == 5


def test_no_category_is_there_more_often_than_allowed_across_sources() -> None:
    category = np.asarray([0, 0, 0, 1, 1, -1, -1, -1], dtype=np.int32)
    mixing = Mixing(category=category, max_per_category=2)
    sources = [Source("a", np.asarray([9.0, 8, 7, 6, -np.inf, 5, 4, 3])), Source("b", np.ones(8))]

    found = choose(sources, n=8, is_excluded=lambda item: False, mixing=mixing)

    assert [it.item for it in found] == [0, 1, 3, 5, 6, 7, 4]


def test_diversity_takes_the_unlike_item_before_the_like_one() -> None:
    likeness = np.asarray([[1, 0.95, 0.0], [0.95, 1, 0.0], [0.0, 0.0, 1]])
    scores = np.asarray([1.0, 0.9, 0.5])

    def listed(diversity: float) -> list[int]:
        mixing = Mixing(
            category=np.full(3, -1, dtype=np.int32),
            diversity=diversity,
            likeness=lambda items: likeness[np.ix_(items, items)],
        )
        found = choose([Source("x", scores)], n=3, is_excluded=lambda item: False, mixing=mixing)
        return [it.item for it in found]

    assert listed(0.0) == [0, 1, 2]
    assert listed(0.5) == [0, 2, 1]


ROWS = catalog() | {
    "gone": {"title": "gone tea", "category": "tea", "price": 1.0, "in_stock": False},
    "free": {"title": "free", "category": "tea"},
}


@pytest.mark.parametrize(
    ("rules", "item", "why"),
    [
        (Exclusions(), "tea-0", ""),
        (Exclusions(), "gone", "out of stock"),
        (Exclusions(is_out_of_stock_hidden=False), "gone", ""),
        (Exclusions(), "nowhere", "not in the catalog"),
        (Exclusions(purchased=0), "tea-1", "bought before"),
        (Exclusions(purchased=30 * DAY), "tea-1", "bought lately"),
        (Exclusions(purchased=5 * DAY), "tea-1", ""),
        (Exclusions(purchased=None), "tea-1", ""),
        (Exclusions(price=(6.0, None)), "tea-0", "too cheap"),
        (Exclusions(price=(None, 6.0)), "tea-7", "too dear"),
        (Exclusions(price=(None, 6.0)), "free", "without a price"),
        (Exclusions(price=(5.0, 6.0)), "tea-0", ""),
        (Exclusions(categories=("TEA",)), "tea-0", "of an excluded category"),
        (Exclusions(), "tea-2", "on the deny list"),
        (Exclusions(), "tea-3", "what the campaign is about"),
        (Exclusions(), "toys-0", "not on the allow list"),
    ],
)
def test_each_rule_hides_what_it_names_and_says_why(rules: Exclusions, item: str, why: str) -> None:
    predicate = exclusion(
        rules, rows=ROWS, purchased={"tea-1": NOW - 10 * DAY}, now=NOW,
        allow=[*(it for it in ROWS if it != "toys-0"), "nowhere"], deny=["tea-2"],
        trigger=["tea-3"],
    )  # fmt: skip

    assert predicate(item) == why


def test_without_a_catalog_only_the_person_and_the_lists_exclude() -> None:
    predicate = exclusion(
        Exclusions(price=(1, 2)),
        rows=None,
        purchased={7: NOW},
        now=NOW,
        deny=["b"],  # type: ignore[dict-item]
    )

    assert [predicate(it) for it in ("7", "b", "c")] == ["bought before", "on the deny list", ""]


CHAINS: list[Fallback] = ["segment_popular", "category_popular", "popular", "new", "editorial"]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["collaborative", "content", "hybrid", "popular"]),
    chain=st.lists(st.sampled_from(CHAINS), unique=True),
    excluded=st.sets(st.sampled_from(sorted(ROWS))),
    history=st.lists(st.sampled_from([*sorted(ROWS), "unknown"]), max_size=6),
    context=st.lists(st.sampled_from(sorted(ROWS)), max_size=1),
    n=st.integers(0, 30),
    most=st.sampled_from([None, 1, 3]),
    is_personal=st.booleans(),
)
def test_no_excluded_item_ever_appears_whatever_the_chain(
    kind: str, chain: list[Fallback], excluded: set[str], history: list[str], context: list[str],
    n: int, most: int | None, is_personal: bool,
) -> None:  # fmt: skip
    trained = _trained(kind, tuple(chain), most)

    picks = trained.recommend(
        [(it, 5.0, NOW - DAY) for it in history], n=n, exclude=excluded, now=NOW, context=context,
        segment="fans", editorial=["tea-7", "by hand", *sorted(excluded)], is_personal=is_personal,
    )  # fmt: skip

    shown = [it.item for it in picks]
    assert not set(shown) & (excluded | set(context))
    assert len(set(shown)) == len(shown) <= n
    assert {it.source for it in picks} <= {kind, "popular", *chain}
    if not is_personal:
        assert not {it.source for it in picks} & {"collaborative", "content", "segment_popular"}
    if most is not None:
        categories = [ROWS[it]["category"] for it in shown if it in ROWS]
        assert all(categories.count(it) <= most for it in TASTES)


_KNOWN: dict[object, object] = {}


def _trained(kind, chain, most):  # type: ignore[no-untyped-def]
    """Each trained once: the examples differ in what is asked."""
    from dataclasses import replace

    if kind not in _KNOWN:
        _KNOWN[kind] = train(
            purchases(), ROWS, a_model(kind=kind), now=NOW, rng=np.random.default_rng(1),
            segments=dict.fromkeys(range(1, 30), "fans"),
        )  # fmt: skip
    known = _KNOWN[kind]
    return replace(known, settings=replace(known.settings, fallback=chain, max_per_category=most))
