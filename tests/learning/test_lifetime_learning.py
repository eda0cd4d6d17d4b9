"""A lifetime score from end to end: proved on days it had not seen, or not promoted."""

import json

import numpy as np
import pytest

from campaigns.models import ScoreModel, Target
from engine.core.model.instants import DAY
from engine.learning.artifact import pack, unpack
from engine.learning.lifetime.learning import Learnt, learn
from engine.learning.lifetime.repeats import WEEK
from engine.learning.lifetime.value import Lifetime
from engine.learning.refusals import Refused
from tests.learning.buyers import JULY, cdnow_days, made_up


def a_model(measure: str = "count", within: int = 26 * WEEK) -> ScoreModel:
    target = Target("Order Completed", within, measure=measure)  # type: ignore[arg-type]
    return ScoreModel("to-come", target, algorithm="lifetime")


def learnt(
    days: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    as_of: int = 78 * WEEK,
    model: ScoreModel | None = None,
    draws: int = 8,
) -> Learnt:
    rng = np.random.default_rng(7)
    return learn(*days, model=model or a_model(), as_of=as_of, rng=rng, draws=draws)


def test_cdnow_foretells_the_half_that_it_had_not_seen() -> None:
    found = learnt(cdnow_days(), as_of=JULY, model=a_model(within=39 * WEEK))

    table = {it["repeats"]: it for it in found.metrics["calibration"]}
    assert found.is_better, found.why
    assert sum(it["n"] for it in table.values()) == 2_357
    for it in table.values():
        assert it["predicted"] == pytest.approx(it["actual"], abs=0.12 + 0.2 * it["actual"])
    assert found.metrics["figures"][2]["value"] == pytest.approx(1.0, abs=0.15)


def test_what_is_foretold_of_people_of_the_models_own_story_comes() -> None:
    days = made_up(2_500, seed=3)
    was = days[1] < 52 * WEEK

    found = learnt(tuple(it[was] for it in days), as_of=52 * WEEK)  # type: ignore[arg-type]

    came = np.bincount(np.searchsorted(found.ids, days[0][~was & np.isin(days[0], found.ids)]),
                       minlength=len(found.ids))  # fmt: skip
    assert found.is_better, found.why
    assert found.values.sum() == pytest.approx(came.sum(), rel=0.1)
    mean = found.metrics["mean_to_come"]
    assert mean["low"] < mean["value"] < mean["high"]
    order = np.argsort(found.values)
    assert came[order[-250:]].mean() > 5 * came[order[:1_000]].mean()


def test_money_is_foretold_where_it_is_asked_for() -> None:
    days = made_up(2_500, seed=4)

    counts = learnt(days)
    money = learnt(days, model=a_model("sum"))

    assert money.metrics["unit"] == "money"
    mean = money.model.spend.mean if money.model.spend else 0.0
    assert money.values.sum() / counts.values.sum() == pytest.approx(mean, rel=0.15)
    assert Lifetime.of(unpack(pack(money.artifact()))) == money.model


def test_everybody_has_a_word_for_whether_they_are_still_there() -> None:
    found = learnt(made_up(1_500, seed=5))

    assert set(found.labels) == {"active", "fading", "gone"}
    by_word = {word: found.alive[np.array(found.labels) == word] for word in set(found.labels)}
    assert by_word["gone"].max() < 0.3 <= by_word["fading"].min()
    assert by_word["fading"].max() < 0.7 <= by_word["active"].min()


def test_purchases_without_a_pattern_are_not_promoted() -> None:
    # Before the cut each person's number of purchases tells nothing of what they do after it.
    refused = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        ids = np.arange(600).repeat(rng.integers(1, 7, 600))
        times = rng.integers(0, 26 * WEEK, len(ids))
        later = rng.integers(0, 600, 900)
        found = learnt(
            (
                np.r_[ids, later],
                np.r_[times, rng.integers(26 * WEEK, 52 * WEEK, 900)],
                np.full(len(ids) + 900, 10.0),
            ),
            as_of=52 * WEEK,
            draws=1,
        )
        refused += not found.is_better
    assert refused == 4


def test_a_run_can_be_repeated_and_its_figures_are_json() -> None:
    days = made_up(800, seed=6)

    once, again = learnt(days), learnt(days)

    assert json.dumps(once.metrics, allow_nan=False) == json.dumps(again.metrics)
    assert (once.values == again.values).all()


def test_a_short_log_is_proved_on_its_later_half_and_says_so() -> None:
    days = made_up(1_500, seed=8)

    found = learnt(days, as_of=60 * WEEK, model=a_model(within=52 * WEEK))

    assert found.metrics["proof_weeks"] == pytest.approx(30, abs=0.1)
    assert any("52 weeks are foretold, proved over 30" in it for it in found.notes)


def test_nothing_bought_is_refused() -> None:
    none = np.empty(0)

    with pytest.raises(Refused, match="nobody has bought"):
        learnt((none, none, none))
    with pytest.raises(Refused, match="bought on a second day"):
        learnt((np.arange(50), np.full(50, DAY), np.ones(50)))
