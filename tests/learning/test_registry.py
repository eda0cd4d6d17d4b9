"""Runs of a model: which is read, what stays when nothing is learnt, and the way back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.asof import members_at
from engine.core.errors import StoreError, UsageError
from engine.core.model.instants import DAY, HOUR
from engine.erasing import erase
from engine.learning.artifact import Artifact
from engine.learning.erasing import RETRAIN_WITHIN
from engine.learning.lessons import Lesson
from engine.learning.registry import Registry, learnt
from engine.store import models, scores
from engine.store.models import PART_BYTES, About
from tests.engine.publishing import FILES, Published

SEGMENTS = {
    "segments/risky.yaml": "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n"
}
N_PEOPLE = 6


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply({**FILES, **SEGMENTS})
    for number in range(1, N_PEOPLE + 1):
        opened.identify(f"u{number}")
    opened.settle()
    yield opened
    opened.close()


def a_registry(stage: Published) -> Registry:
    process = stage.process
    return Registry(process.database, process.write, process.playbook.program)


def a_lesson(*risky: int, is_better: bool = True, **changes: Any) -> Lesson:
    values = {number: (0.9 if number in risky else 0.1, "") for number in range(1, N_PEOPLE + 1)}
    given: dict[str, Any] = {
        "artifact": Artifact(
            {"weights": np.arange(len(risky), dtype=np.float64)}, {"kind": "test"}
        ),
        "verdict": "better" if is_better else "not better",
        "metrics": {"primary": {"name": "auc", "value": 0.8, "low": 0.7, "high": 0.9}},
        "data_hash": "d",
        "values": values,
        **changes,
    }
    return Lesson(is_better=is_better, **given)


def kept(stage: Published, lesson: Lesson) -> Any:
    about = About(kind="score", as_of=stage.now, config_hash="c", seed=7)
    return a_registry(stage).keep("churn", about, lesson, now=stage.now)


def risky(stage: Published) -> list[int]:
    rows = stage.rows("SELECT profile_id FROM membership WHERE segment = 'risky' ORDER BY 1")
    return [row[0] for row in rows]


def statuses(stage: Published) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in stage.rows("SELECT run, status FROM model_run ORDER BY 1")]


def test_what_is_better_is_read_at_once_by_those_it_matters_to(stage: Published) -> None:
    done = kept(stage, a_lesson(1, 2))
    stage.settle()

    assert (done.run, done.status, done.n_scored, done.n_woken) == (1, "champion", N_PEOPLE, 2)
    assert risky(stage) == [1, 2]


def test_what_is_not_better_is_kept_aside_and_changes_nothing(stage: Published) -> None:
    kept(stage, a_lesson(1))
    stage.settle()

    done = kept(stage, a_lesson(2, 3, is_better=False))
    stage.settle()

    assert (done.status, done.verdict) == ("candidate", "not better")
    assert statuses(stage) == [(1, "champion"), (2, "candidate")]
    assert risky(stage) == [1]
    with stage.process.database.read() as connection:
        assert learnt(connection, "churn", 2).arrays["weights"].tolist() == [0.0, 1.0]


def test_where_a_new_model_loses_the_champions_model_says_what_is_read_of_people_today(
    stage: Published,
) -> None:
    kept(stage, a_lesson(1))
    with stage.process.database.write() as connection:
        models.demand_retraining(connection, ["churn"], by=stage.now + 30 * DAY)
    stage.settle()
    stage.now += DAY

    anew = a_lesson(2, verdict="scored anew by run 1's model")
    done = kept(stage, a_lesson(3, is_better=False, instead=anew))
    stage.settle()

    assert done.status == "candidate"
    assert statuses(stage) == [(1, "retired"), (2, "candidate"), (3, "champion")]
    assert risky(stage) == [2]
    with stage.process.database.read() as connection:
        champion = models.champion_of(connection, "churn")
    assert champion is not None
    assert (champion.about.parent, champion.about.as_of) == (1, stage.now)
    assert champion.retrain_by is not None, "the model is the old one, and still holds the erased"


def test_a_refusal_is_a_run_with_its_words_and_the_champion_stays(stage: Published) -> None:
    kept(stage, a_lesson(4))
    about = About(kind="score", as_of=stage.now)

    a_registry(stage).refuse("churn", about, "nobody ever left", now=stage.now)
    stage.settle()

    assert statuses(stage) == [(1, "champion"), (2, "refused")]
    assert stage.rows("SELECT verdict FROM model_run WHERE run = 2") == [("nobody ever left",)]
    assert risky(stage) == [4]


def test_rolling_back_reads_the_rows_of_the_run_before_and_wakes_who_changes(
    stage: Published,
) -> None:
    kept(stage, a_lesson(1, 2))
    stage.settle()
    stage.now += HOUR
    kept(stage, a_lesson(3))
    stage.settle()
    stage.now += HOUR

    done = a_registry(stage).roll_back("churn", None, now=stage.now)
    stage.settle()

    assert (done.run, done.n_woken) == (3, 3)
    assert risky(stage) == [1, 2]
    assert statuses(stage)[-1] == (3, "champion")
    with stage.process.database.read() as connection:
        champion = models.champion_of(connection, "churn")
        assert champion is not None
        assert champion.about.parent == 1
        assert champion.about.verdict.startswith("rolled back to run 1 of ")
        assert learnt(connection, "churn", 3).arrays["weights"].tolist() == [0.0, 1.0]


def test_the_past_is_told_by_what_was_champion_then_whatever_is_tried_since(
    stage: Published,
) -> None:
    kept(stage, a_lesson(1, 2))
    stage.settle()
    then = stage.now
    stage.now += DAY
    kept(stage, a_lesson(5, is_better=False))
    a_registry(stage).refuse("churn", About("score", stage.now), "too little", now=stage.now)
    stage.settle()

    segments = stage.process.playbook.segments
    with stage.process.database.read() as connection:
        found = [
            sorted(
                int(it.then.profile.id) for it in members_at(connection, segments, "risky", at=at)
            )
            for at in (then, stage.now)
        ]

    assert found == [[1, 2], [1, 2]]


def test_a_run_that_cannot_be_read_again_is_refused_with_those_that_can(stage: Published) -> None:
    registry = a_registry(stage)
    with pytest.raises(UsageError, match="no run before"):
        registry.roll_back("churn", None, now=stage.now)
    for number in (1, 2, 3):
        kept(stage, a_lesson(number))

    with pytest.raises(UsageError, match=r"these are kept: 2$"):
        registry.roll_back("churn", 1, now=stage.now)
    with pytest.raises(UsageError, match=r"run 3 .* is the one that is read"):
        registry.roll_back("churn", 3, now=stage.now)


def test_an_artifact_of_any_size_is_kept_in_pieces_and_given_back_whole(stage: Published) -> None:
    noise = np.random.default_rng(1).random(400_000)

    kept(stage, a_lesson(1, artifact=Artifact({"noise": noise}, {"n": 3})))

    sizes = [row[0] for row in stage.rows("SELECT length(data) FROM model_artifact ORDER BY part")]
    assert len(sizes) > 1
    assert max(sizes) == PART_BYTES
    with stage.process.database.read() as connection:
        found = learnt(connection, "churn", 1)
    assert np.array_equal(found.arrays["noise"], noise)
    assert dict(found.schema) == {"n": 3}


def test_only_the_champion_the_one_before_and_the_newest_candidate_keep_what_they_learnt(
    stage: Published,
) -> None:
    for number, is_better in ((1, True), (2, True), (3, False), (4, True), (5, False)):
        kept(stage, a_lesson(number, is_better=is_better))

    assert stage.rows("SELECT DISTINCT run FROM model_artifact ORDER BY run") == [(2,), (4,), (5,)]
    with (
        stage.process.database.read() as connection,
        pytest.raises(StoreError, match="antiphon model train churn"),
    ):
        learnt(connection, "churn", 1)


def test_a_model_without_rows_becomes_champion_too(stage: Published) -> None:
    about = About(kind="recommender", as_of=stage.now)
    registry = a_registry(stage)
    for _ in range(3):
        registry.keep("also-bought", about, a_lesson(values={}), now=stage.now)

    with stage.process.database.read() as connection:
        found = [(it.run, it.status) for it in models.runs_of(connection, "also-bought")]
    assert found == [(3, "champion"), (2, "retired"), (1, "swept")]


def test_who_must_be_forgotten_soon_makes_room_for_what_is_not_better(stage: Published) -> None:
    kept(stage, a_lesson(1))
    database = stage.process.database
    with database.write() as connection:
        models.demand_retraining(connection, ["churn"], by=stage.now + 30 * DAY)

    early = kept(stage, a_lesson(2, is_better=False))
    stage.now += 24 * DAY
    late = kept(stage, a_lesson(2, is_better=False))

    assert (early.status, late.status) == ("candidate", "champion")
    assert "somebody erased must be out by" in late.verdict
    with database.read() as connection:
        champion = models.champion_of(connection, "churn")
    assert champion is not None
    assert champion.retrain_by is None


def test_rolling_back_does_not_forget_that_somebody_must_be_forgotten(stage: Published) -> None:
    kept(stage, a_lesson(1))
    by = stage.now + 30 * DAY
    with stage.process.database.write() as connection:
        models.demand_retraining(connection, ["churn"], by=by)
    kept(stage, a_lesson(2))

    a_registry(stage).roll_back("churn", 1, now=stage.now)

    with stage.process.database.read() as connection:
        champion = models.champion_of(connection, "churn")
    assert champion is not None
    assert champion.retrain_by == by


def test_nobody_goes_back_to_a_run_that_had_to_forget_somebody_by_now(stage: Published) -> None:
    kept(stage, a_lesson(1))
    with stage.process.database.write() as connection:
        models.demand_retraining(connection, ["churn"], by=stage.now + DAY)
    kept(stage, a_lesson(2))
    stage.now += 2 * DAY

    with pytest.raises(UsageError, match="had to forget somebody who was erased by"):
        a_registry(stage).roll_back("churn", 1, now=stage.now)


def test_a_champion_without_proof_falls_to_the_first_verdict_against_it(stage: Published) -> None:
    kept(stage, a_lesson(1))
    stage.settle()

    kept(stage, replace(a_lesson(2), is_better=False, is_unseating=True))
    stage.settle()

    assert [status for _, status in statuses(stage)] == ["retired", "candidate"]
    assert risky(stage) == []


def test_a_withdrawn_model_says_nothing_of_anybody(stage: Published) -> None:
    kept(stage, a_lesson(1))

    a_registry(stage).withdraw("churn", now=stage.now)

    with stage.process.database.read() as connection:
        assert scores.of_people(connection, [1, 2]) == {}
    assert stage.rows("SELECT count(*) FROM model_artifact") == [(0,)]


def test_those_whose_score_vanishes_with_a_model_leave_their_segments_at_once(
    stage: Published,
) -> None:
    kept(stage, a_lesson(1, 2))
    stage.settle()
    before = risky(stage)
    stage.now += HOUR

    n_woken = a_registry(stage).withdraw("churn", now=stage.now)
    due = stage.rows("SELECT profile_id FROM timer ORDER BY 1")
    stage.tick()

    assert (before, n_woken, due) == ([1, 2], 2, [(1,), (2,)])
    assert risky(stage) == []


def test_so_do_those_of_a_model_past_its_deadline(stage: Published) -> None:
    kept(stage, a_lesson(1, 2))
    stage.settle()
    stage.process.write(lambda it: erase(it, 2, now=stage.now))
    stage.now += RETRAIN_WITHIN

    dropped = a_registry(stage).drop_overdue(now=stage.now)
    stage.tick()

    assert (dropped, risky(stage)) == (1, [])
    assert statuses(stage) == [(1, "retired")]


def test_rows_that_a_new_rule_leaves_out_and_nothing_reads_are_deleted_by_the_daily_sweep(
    stage: Published,
) -> None:
    a_registry(stage).keep("unread", About("score", stage.now), a_lesson(1), now=stage.now)
    stage.identify("u2", profiling=True)
    stage.apply({
        **FILES,
        "antiphon.yaml": FILES["antiphon.yaml"] + "learning: {profiling: {unknown: refuse}}\n",
    })  # fmt: skip
    stage.settle()

    n = a_registry(stage).forget_unprofiled()

    assert n == N_PEOPLE - 1
    assert stage.rows("SELECT profile_id FROM model_score") == [(2,)]


def test_details_are_kept_with_the_rows_and_come_back_with_them(stage: Published) -> None:
    kept(stage, a_lesson(1, details={1: '{"why":["recency_days"]}'}))
    kept(stage, a_lesson(2))

    a_registry(stage).roll_back("churn", 1, now=stage.now)

    with stage.process.database.read() as connection:
        said = scores.details(connection, 1)
    assert said["churn"][1] == '{"why":["recency_days"]}'
    assert said["churn"][0].run == 3


def test_who_is_erased_while_a_run_is_made_is_not_in_it(stage: Published) -> None:
    with stage.process.database.write() as connection:
        connection.execute("UPDATE profile SET erased_at = 1 WHERE id = 2")

    kept(stage, a_lesson(1, 2))

    rows = stage.rows("SELECT profile_id FROM model_score ORDER BY 1")
    assert rows == [(1,), (3,), (4,), (5,), (6,)]


def test_a_run_that_may_have_read_somebody_erased_since_must_be_trained_again_in_time(
    stage: Published,
) -> None:
    about = About(kind="score", as_of=stage.now)
    began = stage.now
    stage.now += HOUR  # The training takes an hour, and somebody is erased in the midst of it.
    done = stage.process.write(lambda it: erase(it, 2, now=stage.now))

    a_registry(stage).keep("churn", about, a_lesson(1, 2), now=began)
    later = stage.now + HOUR
    a_registry(stage).keep("hour", About(kind="score", as_of=later), a_lesson(1), now=later)

    assert done.models == [], "no run was kept yet"
    assert stage.rows("SELECT model, retrain_by FROM model_run ORDER BY run, model") == [
        ("churn", stage.now + RETRAIN_WITHIN),
        ("hour", None),
    ]


def test_past_the_deadline_nothing_that_holds_the_erased_is_kept_to_go_back_to(
    stage: Published,
) -> None:
    kept(stage, a_lesson(1, 2))
    a_registry(stage).keep("gone", About("score", stage.now), a_lesson(1), now=stage.now)
    stage.now += HOUR
    stage.process.write(lambda it: erase(it, 2, now=stage.now))
    stage.now += HOUR
    kept(stage, a_lesson(3))  # The first model is trained again; of the other no file is left.
    stage.now += RETRAIN_WITHIN

    dropped = a_registry(stage).drop_overdue(now=stage.now)

    assert dropped == 2
    assert stage.rows("SELECT model, run FROM model_artifact") == [("churn", 2)]
    assert stage.rows("SELECT model, run FROM model_run WHERE status = 'champion'") == [
        ("churn", 2)
    ]
