"""A new score beside the champion: on the same people, and fair where that one has seen more."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from engine.core.model.instants import DAY
from engine.learning.champions import Word, champions_word, judged
from engine.learning.refreshing import Learner, refresh
from engine.learning.scores import Trained
from engine.steady import elapsed
from engine.store import models
from tests.engine.publishing import Published
from tests.learning.test_refreshing import built as built
from tests.learning.test_refreshing import shop as shop


def told(value: float, *, champion_gain: float | None = None) -> dict[str, Any]:
    """Metrics as `evaluation` tells them: of a baseline that is better than nothing."""
    gain = {"value": 0.2, "std_error": 0.01}
    found: dict[str, Any] = {
        "primary": "auc",
        "is_baseline": True,
        "values": {"auc": {"value": value, "std_error": 0.02}},
        "constant": {"values": {"auc": {"value": 0.5}}, "gain": {"auc": gain}},
    }
    if champion_gain is not None:
        paired = {"value": champion_gain, "std_error": 0.002}
        found["champion"] = {"values": {}, "gain": {"auc": paired}}
    return found


def a_verdict(metrics: dict[str, Any], *, stored: float, has_seen: bool) -> Any:
    trained = Trained(
        (), np.empty(0, np.int64), cast(Any, None), np.empty(0), cast(Any, None), metrics
    )
    champion = SimpleNamespace(about=SimpleNamespace(metrics={"model": told(stored)}))
    word = Word(np.array([0.5]), has_seen, is_chance=True)
    return judged(trained, cast(Any, champion), word)


def test_a_pair_decides_what_two_intervals_cannot() -> None:
    # 0.70 and 0.72 with errors of 0.02 overlap; on the same people the loss is certain.
    found = a_verdict(told(0.70, champion_gain=-0.02), stored=0.72, has_seen=False)

    assert not found.is_better
    assert "worse than the champion's by 0.02" in found.why


def test_a_champion_that_has_seen_the_outcomes_does_not_stay_by_that() -> None:
    found = a_verdict(told(0.70, champion_gain=-0.25), stored=0.70, has_seen=True)

    assert found.is_better
    assert found.why.endswith("may have been trained on what came of them")


def test_who_is_below_it_on_unseen_people_too_does_not_pass() -> None:
    found = a_verdict(told(0.60, champion_gain=-0.25), stored=0.80, has_seen=True)

    assert not found.is_better
    assert "worse than the champion's by 0.2" in found.why


def test_who_holds_their_own_against_one_that_has_seen_has_passed() -> None:
    # By their intervals it would have lost: the year before was an easier one.
    found = a_verdict(told(0.60, champion_gain=0.001), stored=0.80, has_seen=True)

    assert found.is_better
    assert "(better by 0.001, which may be chance)" in found.why


def test_a_refresh_asks_the_champion_about_the_people_it_judges_by(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    refresh(learner, "churn", as_of=shop.now, now=shop.now)
    words: list[Word] = []

    def spied(*about: Any, as_of: int) -> Word | None:
        now, later = (champions_word(*about, as_of=at) for at in (as_of, as_of + 31 * DAY))
        assert now is not None
        assert later is not None
        words.extend((now, later))
        return now

    monkeypatch.setattr("engine.learning.training_scores.champions_word", spied)
    refresh(learner, "churn", as_of=shop.now, now=shop.now)

    with process.database.read() as connection:
        newest = models.runs_of(connection, "churn")[0].about.metrics["model"]
    assert "auc" in newest["champion"]["gain"], "the two were compared row by row"
    # Thirty days are foretold: of people as they are a month from now it has seen nothing.
    assert [it.has_seen for it in words] == [True, False]
    assert 0 < words[0].said.min() < words[0].said.max() < 1
