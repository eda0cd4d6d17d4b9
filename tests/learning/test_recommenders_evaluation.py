"""The future is foretold from the past only, measured as published, and judged fairly."""

import json
from dataclasses import replace
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Exclusions, RecommenderModel
from engine.core.model.instants import DAY
from engine.learning.recommenders import Evaluation, evaluate, judge, page, text
from engine.learning.recommenders.evaluation import POPULAR, SERVED
from engine.learning.recommenders.ranking_metrics import (
    Mean,
    alike,
    coverage,
    gini,
    mean,
    ndcg,
    precision,
    recall,
)
from engine.learning.recommenders.splitting import Part, split, trials
from engine.learning.refusals import Refused
from tests.learning.recommender_shop import (
    NOW,
    STARS,
    a_model,
    catalog,
    interactions,
    online_retail,
    purchases,
    stars_given,
)


def evaluated(rows: Part, model: RecommenderModel | None = None, **settings: object) -> Evaluation:
    return evaluate(
        rows, catalog(), model or a_model(), now=NOW, rng=np.random.default_rng(1), **settings
    )


def permuted(rows: Part, *, seed: int) -> Part:
    """The same people, items and times, but who took what is chance."""
    order = np.random.default_rng(seed).permutation(len(rows.items))
    return Part(rows.user_ids, rows.items[order], rows.weights, rows.times)


# --- the measures -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    shown=st.lists(st.integers(0, 20), max_size=12, unique=True),
    wanted=st.sets(st.integers(0, 20), min_size=1),
    k=st.integers(1, 12),
)
def test_ranking_measures_are_their_definitions(shown: list[int], wanted: set[int], k: int) -> None:
    names, taken = [str(it) for it in shown], {str(it) for it in wanted}

    gained = sum(1 / log2(i + 2) for i, it in enumerate(names[:k]) if it in taken)
    ideal = sum(1 / log2(i + 2) for i in range(min(k, len(taken))))
    hits = len(set(names[:k]) & taken)
    assert ndcg(names, taken, k=k) == pytest.approx(gained / ideal, abs=1e-12)
    assert precision(names, taken, k=k) == pytest.approx(hits / k, abs=1e-12)
    assert recall(names, taken, k=k) == pytest.approx(hits / len(taken), abs=1e-12)


def test_ndcg_is_scikit_learns() -> None:
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(1)
    truth, scores = (rng.random(30) < 0.3).astype(float), rng.random(30)
    shown = [str(it) for it in np.argsort(-scores)]
    wanted = {str(it) for it in np.flatnonzero(truth)}

    theirs = ndcg_score(truth[None], scores[None], k=10)

    assert ndcg(shown, wanted, k=10) == pytest.approx(theirs, abs=1e-12)


def test_an_interval_of_a_mean_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(2).normal(3, 2, 800)

    found = mean(values, rng=np.random.default_rng(1))

    assert found.std_error == pytest.approx(values.std() / np.sqrt(800), rel=0.1)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.std_error, rel=0.1)


def test_variety_is_measured_over_all_items_and_all_people() -> None:
    lists = [["a", "b"], ["a", "b"], ["b", "a"], ["c"]]

    assert coverage(lists, n_items=6) == 0.5
    assert alike(lists) == 0.5
    sizes = [0, 0, 0, 1, 3, 3]  # shown so often, of six items
    pairs = sum(abs(a - b) for a in sizes for b in sizes)
    assert gini(lists, n_items=6) == pytest.approx(pairs / (2 * 6 * sum(sizes)))


# --- the split ------------------------------------------------------------------------------------


def test_the_cut_is_one_instant_for_everybody() -> None:
    rows = purchases()

    cut = split(rows, now=NOW)

    assert cut is not None
    assert cut.before.times.max() < cut.at <= cut.after.times.min()
    assert len(cut.after.times) == pytest.approx(0.2 * len(rows.times), abs=1)


def test_what_was_done_before_is_neither_shown_nor_asked_for_unless_the_model_shows_it_again() -> (
    None
):
    rows = interactions(
        [(1, "a", 1, 40), (1, "b", 1, 12), *((2, "c", 1, 30 + i) for i in range(8)),
         (1, "a", 1, 1), (1, "b", 1, 1), (1, "c", 1, 1)]
    )  # fmt: skip
    cut = split(rows, now=NOW, share=0.2)
    assert cut is not None

    def wanted(purchased: int | None) -> frozenset[str]:
        found = trials(
            cut, purchased=purchased, middle=0, unread=(), most=9, rng=np.random.default_rng(1)
        )
        return found[0].wanted

    assert wanted(0) == {"c"}
    assert wanted(20 * DAY) == {"a", "c"}
    assert wanted(None) == {"a", "b", "c"}


def test_nothing_of_after_the_cut_is_learnt_from() -> None:
    rows = purchases(people=120)
    cut = split(rows, now=NOW)
    assert cut is not None
    is_later = rows.times >= cut.at
    swapped = rows.weights.copy()
    swapped[is_later] *= 3.0  # other weights later: the same lists, the same figures

    first = evaluated(rows).metrics()
    second = evaluated(Part(rows.user_ids, rows.items, swapped, rows.times)).metrics()

    assert first == second


# --- the verdict ----------------------------------------------------------------------------------


def test_planted_tastes_beat_popularity_and_are_served() -> None:
    found = evaluated(purchases(people=300))

    verdict = judge(found)

    assert found.gain["ndcg"].low > 0
    assert verdict.is_better
    assert "beats popularity's" in verdict.why


@pytest.mark.parametrize("seed", range(3))
def test_tastes_that_are_chance_are_not_served(seed: int) -> None:
    found = evaluated(permuted(purchases(people=400, each=8), seed=seed))

    assert found.gain["ndcg"].low <= 0
    assert not judge(found).is_better


def test_below_the_champion_by_more_than_both_errors_is_not_served() -> None:
    found = evaluated(purchases(people=300))
    champion = found.metrics()
    same = judge(found, champion)
    better = champion | {"primary": champion["primary"] | {"value": 0.99, "std_error": 0.001}}

    verdict = judge(found, better)

    assert same.is_better
    assert not verdict.is_better
    assert "below the champion's 0.9900" in verdict.why


def test_what_is_popular_is_its_own_mark() -> None:
    found = evaluated(purchases(people=100), a_model(kind="popular"))

    assert judge(found).is_better
    assert found.gain["ndcg"].value == 0


def test_a_hybrid_reaches_items_that_nobody_has_touched() -> None:
    rows = purchases(people=300)
    cut = split(rows, now=NOW)
    assert cut is not None
    is_late = np.isin(rows.items, ["tea-3", "toys-3", "tools-3"]) & (rows.times < cut.at)
    kept = ~is_late
    cold = Part(*(it[kept] for it in (rows.user_ids, rows.items, rows.weights, rows.times)))

    found = evaluated(cold, a_model(kind="hybrid"))

    assert found.n_by_age["never acted on"] > 0
    served, alone = found.systems[SERVED].by_age, found.systems["collaborative"].by_age
    assert alone["never acted on"] == 0
    assert found.systems["content"].by_age["never acted on"] > 0
    assert served["never acted on"] >= 0
    assert found.notes[-1].startswith("content counts")


def test_stars_are_estimated_better_than_by_averages_and_their_lists_are_judged_apart() -> None:
    found = evaluated(stars_given(people=300, each=12), a_model(algorithm="svd", rating=STARS))

    assert found.stars is not None
    assert found.stars.rmse < found.stars.rmse_of_averages
    assert found.metrics()["stars"]["n"] > 100


def test_too_few_who_came_back_are_refused() -> None:
    with pytest.raises(Refused, match="people acted on something new in the last fifth"):
        evaluated(purchases(people=6))


def test_events_of_one_instant_have_no_before_and_after() -> None:
    with pytest.raises(Refused, match="one instant"):
        evaluated(interactions([(p, f"tea-{i}", 1, 1) for p in range(9) for i in range(3)]))


def test_real_purchases_are_foretold_better_than_by_popularity() -> None:
    rows, items = online_retail()
    model = a_model(exclude=Exclusions(purchased=0))

    found = evaluate(
        rows, items, model, now=int(rows.times.max()) + 1, rng=np.random.default_rng(1),
        people_max=500, items_max=1_500,
    )  # fmt: skip

    assert found.gain["ndcg"].low > 0.02
    assert found.systems[SERVED].coverage > 5 * found.systems[POPULAR].coverage
    assert judge(found).is_better


# --- the report -----------------------------------------------------------------------------------


def test_the_figures_are_plain_data_and_the_report_says_them() -> None:
    found = evaluated(purchases(people=300), a_model(kind="hybrid"))

    metrics = json.loads(json.dumps(found.metrics(), allow_nan=False))
    said, shown = text(found), page(found)

    value = f"{metrics['primary']['value']:.4f}"
    assert metrics["primary"]["name"] == "ndcg_at_10"
    for face in (said, shown):
        assert value in face
        assert "Gain over popularity" in face
        assert "By the age of the item" in face
    assert "<script" not in shown


def test_a_name_cannot_become_markup() -> None:
    found = replace(evaluated(purchases(people=100)), name="<b>x</b>", notes=("<i>",))

    assert "<b>x" not in page(found)
    assert "<i>" not in page(found)
    assert Mean(0, 0, 0, 0).as_json() == {"value": 0, "low": 0, "high": 0, "std_error": 0}
