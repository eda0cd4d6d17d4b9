"""Taste is served where it pays; until then the declared chain is, and the run says why."""

import numpy as np
import pytest

from engine.learning.recommenders import Settled, settle
from engine.learning.recommenders.splitting import Part
from engine.learning.refusals import Refused
from tests.learning.recommender_shop import NOW, a_model, catalog, interactions, purchases


def settled(rows: Part, champion: object = None, **changes: object) -> Settled:
    return settle(
        rows, catalog(), a_model(**changes), now=NOW, rng=np.random.default_rng(1),
        champion=champion,  # type: ignore[arg-type]
    )  # fmt: skip


def by_lot(rows: Part) -> Part:
    order = np.random.default_rng(5).permutation(len(rows.items))
    return Part(rows.user_ids, rows.items[order], rows.weights, rows.times)


def sources(found: Settled) -> set[str]:
    picks = found.recommender.recommend([("tea-0", 5.0, NOW)], n=4, exclude=(), now=NOW)
    return {it.source for it in picks}


def test_taste_that_pays_is_served() -> None:
    found = settled(purchases(people=300))

    assert found.verdict.is_better
    assert found.metrics["serves"] == "taste"
    assert sources(found) == {"collaborative"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (by_lot(purchases(people=300)), "than popularity's"),
        (purchases(people=6), "people acted on something new in the last fifth"),
        (interactions([(1, "tea-0", 5, 3)]), "one item only"),
    ],
)
def test_a_shop_that_has_no_taste_yet_is_served_its_chain(rows: Part, why: str) -> None:
    found = settled(rows, fallback=("popular", "new"))

    assert found.verdict.is_better
    assert why in found.verdict.why
    assert found.verdict.why.endswith("What is served is the chain: popular, new")
    assert found.metrics["serves"] == "chain"
    assert sources(found) <= {"popular", "new"}


def test_the_chain_is_learnt_anew_until_taste_takes_its_place() -> None:
    chain = settled(by_lot(purchases(people=300)))

    again = settled(by_lot(purchases(people=300)), chain.metrics)
    then = settled(purchases(people=300), chain.metrics)

    assert again.verdict.is_better
    assert again.metrics["serves"] == "chain"
    assert then.metrics["serves"] == "taste"


def test_taste_that_is_served_gives_way_to_no_chain() -> None:
    taste = settled(purchases(people=300))

    worse = settled(by_lot(purchases(people=300)), taste.metrics)

    assert not worse.verdict.is_better
    with pytest.raises(Refused, match="one item only"):
        settled(interactions([(1, "tea-0", 5, 3)]), taste.metrics)
    with pytest.raises(Refused, match="last fifth"):
        settled(purchases(people=6), taste.metrics)


def test_what_is_popular_needs_nobody_who_came_back() -> None:
    found = settled(interactions([(1, "tea-0", 5, 3)]), kind="popular")

    assert found.verdict.is_better
    assert found.evaluation is None
    assert sources(found) == {"popular"}


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(Refused, match="nobody acted on any of 24 items"):
        settled(interactions([]))
