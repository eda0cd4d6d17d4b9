"""What one person is shown, from which source, and why."""

from dataclasses import replace

import numpy as np
import pytest

from campaigns.models import Exclusions
from engine.core.errors import StoreError
from engine.core.model.instants import DAY
from engine.learning.artifact import Artifact, pack, unpack
from engine.learning.recommenders import (
    artifact_of,
    everybody,
    exclusion,
    recommender_of,
    train,
)
from engine.learning.recommenders.recommender import Because
from tests.learning.recommender_shop import (
    NOW,
    STARS,
    a_model,
    catalog,
    interactions,
    purchases,
    stars_given,
)

BOUGHT = [("tea-0", 5.0, NOW - 3 * DAY), ("tea-1", 5.0, NOW - 9 * DAY)]


def trained(**changes):  # type: ignore[no-untyped-def]
    rest = {key: changes.pop(key) for key in ("segments", "before") if key in changes}
    return train(
        purchases(), catalog(), a_model(**changes), now=NOW, rng=np.random.default_rng(1), **rest
    )


def test_a_person_is_shown_more_of_their_taste_and_told_why() -> None:
    picks = trained().recommend(BOUGHT, n=3, exclude={"tea-0", "tea-1"}, now=NOW)

    assert [it.item.split("-")[0] for it in picks] == ["tea"] * 3
    assert {it.source for it in picks} == {"collaborative"}
    assert {it.item for it in picks[0].reason} <= {"tea-0", "tea-1"}
    assert picks[0].score == pytest.approx(sum(it.effect for it in picks[0].reason), rel=1e-4)


def test_what_was_done_a_minute_ago_counts_without_training_anew() -> None:
    known = trained()
    before = known.recommend(BOUGHT, n=4, exclude=(), now=NOW)

    now_toys = [*BOUGHT, *((f"toys-{i}", 20.0, NOW - 1) for i in range(3))]
    after = known.recommend(now_toys, n=4, exclude=(), now=NOW)

    assert {it.item.split("-")[0] for it in before} == {"tea"}
    assert "toys" in {it.item.split("-")[0] for it in after}


def test_of_a_stranger_nothing_is_known_and_the_chain_is_gone_down_with_its_level_said() -> None:
    known = trained(
        fallback=("segment_popular", "category_popular", "popular", "new", "editorial"),
        segments={person: "tool fans" for person in range(1, 61) if person % 3 == 1},
    )

    def shown(**context):  # type: ignore[no-untyped-def]
        picks = known.recommend([], n=2, exclude=(), now=NOW, **context)
        return [(it.item, it.source) for it in picks]

    assert {it[1] for it in shown()} == {"popular"}
    by_segment = shown(segment="tool fans")
    assert {it[1] for it in by_segment} == {"segment_popular"}
    assert {it[0].split("-")[0] for it in by_segment} == {"tools"}
    by_category = shown(context=["toys-7"], is_personal=False)
    assert {it[1] for it in by_category} == {"category_popular"}
    assert {it[0].split("-")[0] for it in by_category} == {"toys"}


def test_a_segment_of_too_few_people_is_not_told_from_everybody() -> None:
    known = trained(fallback=("segment_popular",), segments={1: "loner", 2: "loner"})

    assert known.segments == ()
    assert known.recommend([], n=3, exclude=(), now=NOW, segment="loner") == []


def test_who_may_not_be_profiled_sees_what_everybody_sees() -> None:
    known = trained(fallback=("segment_popular", "popular"),
                    segments=dict.fromkeys(range(1, 61), "all"))  # fmt: skip

    picks = known.recommend(BOUGHT, n=5, exclude=(), now=NOW, segment="all", is_personal=False)

    assert {it.source for it in picks} == {"popular"}
    assert picks == known.recommend([], n=5, exclude=(), now=NOW)
    assert all(it.reason == () for it in picks)


def test_what_set_the_campaign_off_counts_as_liked_and_is_never_shown() -> None:
    picks = trained().recommend([], n=24, exclude=(), now=NOW, context=["toys-0"])

    assert "toys-0" not in {it.item for it in picks}
    assert picks[0].item.startswith("toys")
    assert picks[0].reason == (Because("toys-0", picks[0].reason[0].effect),)


def test_without_taste_the_declared_chain_is_all_there_is() -> None:
    known = trained(fallback=("new", "popular"), kind="hybrid")

    plain = known.without_taste()

    picks = plain.recommend(BOUGHT, n=4, exclude=(), now=NOW)
    assert picks[0].source == "new"
    assert {it.source for it in picks} <= {"new", "popular"}
    assert len(pack(artifact_of(plain))) < len(pack(artifact_of(known)))


def test_editors_may_choose_what_the_model_never_saw() -> None:
    known = trained(kind="popular", fallback=("editorial", "popular"))

    picks = known.recommend([], n=3, exclude={"b"}, now=NOW, editorial=["new-thing", "b", "tea-5"])

    assert [(it.item, it.source) for it in picks] == [
        ("new-thing", "editorial"), ("tea-5", "editorial"),
        (known.names[int(np.argmax(known.popularity))], "popular"),
    ]  # fmt: skip


def test_new_items_are_those_that_came_lately_the_latest_first() -> None:
    rows = catalog() | {
        "fresh": {"title": "fresh", "created_at": "2023-11-10T00:00:00+00:00"},
        "fresher": {"title": "fresher", "created_at": "2023-11-12"},
        "old": {"title": "old", "created_at": "2020-01-01"},
        "soon": {"title": "soon", "created_at": "2030-01-01"},
        "odd": {"title": "odd", "created_at": "tomorrow"},
    }
    known = train(purchases(), rows, a_model(fallback=("new",)), now=NOW,
                  rng=np.random.default_rng(1))  # fmt: skip

    picks = known.recommend([], n=40, exclude=(), now=NOW)

    assert [it.item for it in picks][:2] == ["fresher", "fresh"]
    assert not {"old", "soon", "odd"} & {it.item for it in picks}
    assert picks[0].score > picks[1].score > 0


def test_an_item_that_the_last_training_did_not_know_is_new() -> None:
    first = trained(fallback=("new",))
    later = NOW + 30 * DAY
    rows = catalog() | {"just-in": {"title": "just in"}}

    second = train(purchases(), rows, a_model(fallback=("new",)), now=later,
                   rng=np.random.default_rng(1), before=first)  # fmt: skip

    assert second.recommend([], n=1, exclude=(), now=later)[0].item == "just-in"


def test_an_item_that_an_event_told_of_lately_is_new() -> None:
    rows = catalog() | {"told": {"title": "told"}, "untold": {"title": "untold"}}

    known = train(purchases(), rows, a_model(fallback=("new",)), now=NOW,
                  rng=np.random.default_rng(1), first_seen={"told": NOW - 1})  # fmt: skip

    shown = [it.item for it in known.recommend([], n=99, exclude=(), now=NOW)]
    assert shown[0] == "told"
    assert "untold" not in shown


def test_everything_excluded_leaves_nothing_and_no_error() -> None:
    known = trained(fallback=("popular", "new", "editorial"))

    assert known.recommend(BOUGHT, n=4, exclude=lambda item: "no", now=NOW, editorial=["x"]) == []
    assert known.recommend(BOUGHT, n=0, exclude=(), now=NOW) == []


def test_ids_of_any_type_are_the_same_item_when_asked() -> None:
    rows = [(person, item, 5.0, 1.0) for person in range(9) for item in (1, 2, person % 3 + 3)]
    known = train(interactions(rows), {}, a_model(), now=NOW, rng=np.random.default_rng(1))

    as_number = known.recommend([(1, 5.0, NOW)], n=3, exclude={2}, now=NOW)  # type: ignore[arg-type]

    assert as_number == known.recommend([("1", 5.0, NOW)], n=3, exclude={"2"}, now=NOW)
    assert "2" not in {it.item for it in as_number}


def test_a_weight_that_is_no_number_and_a_deed_of_the_future_are_not_read() -> None:
    known = trained()
    odd = [*BOUGHT, ("toys-0", float("nan"), NOW), ("toys-1", 50.0, NOW + DAY)]

    assert known.recommend(odd, n=5, exclude=(), now=NOW) == known.recommend(
        BOUGHT, n=5, exclude=(), now=NOW
    )


def test_damping_shows_less_of_what_everybody_is_shown() -> None:
    history = [("tea-3", 5.0, NOW)]
    plain = trained().recommend(history, n=5, exclude=(), now=NOW)
    damped = trained(popularity_damping=1.0).recommend(history, n=5, exclude=(), now=NOW)

    def fame(picks):  # type: ignore[no-untyped-def]
        known = trained()
        return sum(known.popularity[known.places[it.item]] for it in picks)

    assert fame(damped) < fame(plain)


@pytest.mark.parametrize("kind", ["collaborative", "content", "hybrid", "popular", "svd"])
def test_a_recommender_that_was_kept_answers_as_it_did(kind: str) -> None:
    model = (
        a_model(algorithm="svd", rating=STARS) if kind == "svd"
        else a_model(kind=kind, fallback=("segment_popular", "new"), max_per_category=2)
    )  # fmt: skip
    rows = stars_given() if kind == "svd" else purchases()
    known = train(rows, catalog(), model, now=NOW, rng=np.random.default_rng(1),
                  segments=dict.fromkeys(range(20), "fans"))  # fmt: skip

    kept = recommender_of(unpack(pack(artifact_of(known))))

    for history in ([], BOUGHT, [("toys-1", 4.0, NOW)]):
        asked = {"n": 8, "exclude": {"tea-2"}, "now": NOW, "segment": "fans"}
        assert kept.recommend(history, **asked) == known.recommend(history, **asked)  # type: ignore[arg-type]
    assert pack(artifact_of(kept)) == pack(artifact_of(known))


def test_an_artifact_of_another_form_is_refused_in_words() -> None:
    with pytest.raises(StoreError, match=r"is clusters/1, not recommender/1\. Train it again"):
        recommender_of(Artifact({}, {"form": "clusters/1"}))


@pytest.mark.parametrize("kind", ["collaborative", "hybrid", "svd"])
def test_lists_for_everybody_are_those_of_one_at_a_time(kind: str) -> None:
    model = a_model(algorithm="svd", rating=STARS) if kind == "svd" else a_model(kind=kind)
    rows = stars_given() if kind == "svd" else purchases()
    known = train(rows, catalog(), model, now=NOW, rng=np.random.default_rng(1))
    known = replace(known, settings=replace(known.settings, fallback=()))

    all_of_them = everybody(known, rows, n=5, now=NOW)

    for row, user in enumerate(all_of_them.users.tolist()):
        mine = rows.user_ids == user
        history = list(zip(rows.items[mine], rows.weights[mine], rows.times[mine].tolist(),
                           strict=True))  # fmt: skip
        alone = known.recommend(history, n=5, exclude=set(rows.items[mine]), now=NOW)
        numbers = [it for it in all_of_them.lists.items[row].tolist() if it >= 0]
        assert [known.names[it] for it in numbers] == [it.item for it in alone]


def test_one_decision_over_five_thousand_items_takes_less_than_ten_milliseconds() -> None:
    from time import perf_counter

    rng = np.random.default_rng(1)
    rows = interactions(
        zip(rng.integers(0, 900, 8_000).tolist(), rng.integers(0, 600, 8_000).tolist(),
            [5.0] * 8_000, rng.uniform(0, 200, 8_000).tolist(), strict=True)
    )  # fmt: skip
    items = {
        str(it): {"title": f"thing {it % 97}", "category": f"c{it % 30}", "in_stock": it % 9 > 0,
                  "price": float(it % 50)}
        for it in range(5_000)
    }  # fmt: skip
    model = a_model(kind="hybrid", max_per_category=2, fallback=("category_popular", "popular"),
                    exclude=Exclusions(price=(6.0, None)))  # fmt: skip
    known = train(rows, items, model, now=NOW, rng=rng)
    taken = []

    for _ in range(200):
        history = [(str(it), 5.0, NOW - DAY) for it in rng.integers(0, 600, 20).tolist()]
        bought = {item: at for item, _, at in history}
        began = perf_counter()
        predicate = exclusion(model.exclude, rows=items, purchased=bought, now=NOW)
        assert len(known.recommend(history, n=4, exclude=predicate, now=NOW)) == 4
        taken.append(perf_counter() - began)

    # The median: a busy machine may stop any single one of them. benchmarks/recommenders.py has
    # the 99th.
    assert np.median(taken) < 0.010
