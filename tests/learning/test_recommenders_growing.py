"""Items that come after a training are read by what was learnt, at once; so is the live file."""

from typing import Any

import numpy as np
import pytest

from engine.core.model.instants import DAY
from engine.learning.artifact import Artifact, pack, unpack
from engine.learning.recommenders import Recommender, artifact_of, recommender_of, train
from engine.learning.recommenders.content import fit_content, with_rows
from engine.learning.recommenders.growing import grown
from engine.learning.recommenders.likings import Interactions
from tests.learning.recommender_shop import NOW, a_model, catalog, interactions, purchases

LIKES_TEA = [("tea-0", 5.0, NOW - DAY), ("tea-1", 5.0, NOW - DAY)]
NEW: dict[str, dict[str, Any]] = {
    "tea-new": {"title": "tea number 0", "category": "tea", "in_stock": True},
    "odd-new": {"title": "saddle", "category": "horses"},
}


def trained(kind: str = "hybrid", rows: Interactions | None = None, **changes: Any) -> Recommender:
    model = a_model(kind=kind, **changes)
    return train(
        purchases() if rows is None else rows, catalog(), model, now=NOW,
        rng=np.random.default_rng(1),
    )  # fmt: skip


def shown(known: Recommender, n: int = 30, **asked: Any) -> list[str]:
    return [it.item for it in known.recommend(LIKES_TEA, n=n, exclude=(), now=NOW, **asked)]


def test_a_row_read_by_the_stored_terms_is_the_row_it_was_learnt_as() -> None:
    rows = list(catalog().values())
    content = fit_content(rows, text=("title",), attributes=("category",))
    assert content is not None

    more = with_rows(content, rows).table().toarray()

    assert np.array_equal(more[: len(rows)], content.table().toarray())
    assert np.abs(more[len(rows) :] - more[: len(rows)]).max() < 1e-6


@pytest.mark.parametrize("kind", ["content", "hybrid"])
def test_a_new_item_is_shown_to_who_likes_such_before_any_training(kind: str) -> None:
    known = trained(kind)

    after = grown(known, {**catalog(), **NEW})

    assert "tea-new" not in shown(known)
    picks = after.recommend(LIKES_TEA, n=30, exclude=(), now=NOW)
    (found,) = [it for it in picks if it.item == "tea-new"]
    assert found.source == kind
    assert found.reason[0].item in {"tea-0", "tea-1"}
    assert "odd-new" not in {it.item for it in picks}, "of no word that was learnt"


def test_what_was_known_is_answered_as_before_but_for_the_new() -> None:
    known = trained()

    after = grown(known, {**catalog(), **NEW})

    assert [it for it in shown(after) if it not in NEW] == shown(known)
    assert grown(known, catalog()) is known


@pytest.mark.parametrize("kind", ["collaborative", "popular"])
def test_what_nobody_touched_is_new_and_of_its_category(kind: str) -> None:
    known = trained(kind, fallback=("new",), max_per_category=1)

    after = grown(known, {**catalog(), **NEW})

    stranger = after.recommend([], n=9, exclude=(), now=NOW + DAY)
    news = [it.item for it in stranger if it.source == "new"]
    assert "odd-new" in news
    places = [after.places[it] for it in NEW]
    assert [after.categories[after.category[it]] for it in places] == ["tea", "horses"]


def test_what_is_sensitive_does_not_come_in_by_the_back_door() -> None:
    after = grown(trained(fallback=("new",)), {**catalog(), **NEW}, sensitive=("TEA",))

    assert "tea-new" not in after.places
    assert "odd-new" in after.places


def test_a_recommender_that_was_kept_grows_as_it_would_have() -> None:
    known = trained()

    kept = recommender_of(unpack(pack(artifact_of(known))))

    rows = {**catalog(), **NEW}
    assert shown(grown(kept, rows)) == shown(grown(known, rows))


def test_one_that_an_older_release_kept_grows_without_words() -> None:
    artifact = artifact_of(trained(fallback=("new",)))
    schema = {key: it for key, it in artifact.schema.items() if key != "vocabulary"}

    after = grown(recommender_of(Artifact(artifact.arrays, schema)), {**catalog(), **NEW})

    picks = after.recommend(LIKES_TEA, n=40, exclude=(), now=NOW)
    assert {it.source for it in picks if it.item in NEW} == {"new"}


def test_variety_and_the_chain_are_those_of_the_live_file_without_training() -> None:
    known = trained("collaborative")
    model = a_model(diversity=0.5, popularity_damping=1.0, max_per_category=1, fallback=("new",))

    live = known.declared(model)

    asked_for = trained(
        "collaborative", diversity=0.5, popularity_damping=1.0, max_per_category=1,
        fallback=("new",),
    )  # fmt: skip
    assert live.settings == asked_for.settings
    assert shown(live) == shown(asked_for) != shown(known)
    assert live.declared(model) is live
    assert live.unmixed().settings.diversity == 0
    assert known.unmixed() is known


def test_a_hybrid_tells_of_every_item_of_the_catalog_though_few_are_learnt() -> None:
    known = train(
        purchases(), catalog() | NEW, a_model(kind="hybrid"), now=NOW, items_max=6,
        rng=np.random.default_rng(1),
    )  # fmt: skip

    assert known.collaborative is not None
    assert len(known.collaborative.learnt) == 6
    assert "tea-new" in shown(known)
    assert any("6 most popular" in it for it in known.notes)


def test_diversity_reaches_the_fallbacks_and_knows_what_stands_already() -> None:
    teas = [(p, f"tea-{it}", 5.0 - it, 1.0) for p in range(30) for it in range(3)]
    rows = interactions([*teas, *((p, "tools-0", 1.0, 1.0) for p in range(30))])

    def listed(diversity: float) -> list[str]:
        known = trained("popular", rows, diversity=diversity, fallback=("popular",))
        return [it.item for it in known.recommend([], n=2, exclude=(), now=NOW)]

    assert listed(0.0) != listed(0.9)
    assert {it.split("-")[0] for it in listed(0.9)} == {"tea", "tools"}
