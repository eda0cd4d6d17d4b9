"""Who refuses to be profiled: from the tick that plays their word on, nothing reads a score."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from engine.asof import members_at
from engine.core.errors import UsageError
from engine.core.model.campaigns import Profiling
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Score
from engine.learning.artifact import Artifact
from engine.learning.lessons import Lesson
from engine.learning.registry import Registry
from engine.scores import load_file
from engine.segment_preview import explained
from engine.store import scores
from engine.store.models import About
from tests.engine.publishing import CART, SETTINGS, Published
from tests.learning.refusing import (
    SHOP,
    STRICT,
    a_shop,
    asked,
    inside,
    published,
    scored,
)


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = a_shop(database_url)
    yield opened
    opened.close()


def test_a_refusal_takes_score_and_group_out_of_segments_in_the_tick_that_plays_it(
    stage: Published,
) -> None:
    published(stage)
    published(stage, "kinds", (0.8, "loyal"))
    stage.settle()
    before = inside(stage, "risky"), inside(stage, "loyal")
    stage.now += HOUR

    stage.identify("u1", profiling=False)
    stage.tick()

    assert before == ({1, 2, 3, 4}, {1, 2, 3, 4})
    assert (inside(stage, "risky"), inside(stage, "loyal")) == ({2, 3, 4}, {2, 3, 4})
    assert inside(stage, "safe") == {1}
    assert scored(stage) == {2, 3, 4}
    assert asked(stage, "risky") == {"u2", "u3", "u4"}
    exits = stage.rows(
        "SELECT profile_id, at FROM event WHERE name = 'Segment Exited' "
        "AND properties LIKE '%risky%'"
    )
    assert set(exits) == {(1, stage.now)}


def test_explain_says_that_they_refuse(stage: Published) -> None:
    published(stage)
    stage.settle()
    stage.identify("u1", profiling="no")
    stage.tick()

    segments = stage.process.playbook.segments
    with stage.process.database.read() as connection:
        found = explained(
            connection, segments, "risky", [1, 2], at=stage.now, present=stage.now
        )  # fmt: skip

    (refused,), (known,) = (it.conditions for it in found)
    assert refused["found"] == "not profiled: they said profiling is something else than true"
    assert (refused["matches"], known["matches"]) == (False, True)
    assert known["found"].startswith("0.9, percentile 0")


def test_a_refusal_that_is_accepted_but_not_played_counts_in_questions_already(
    stage: Published,
) -> None:
    published(stage)
    stage.settle()
    stage.now += 1

    stage.identify("u1", profiling=False)

    assert asked(stage, "risky") == {"u2", "u3", "u4"}


def test_branches_and_best_time_do_not_know_who_refuses(stage: Published) -> None:
    published(stage)
    published(stage, "their-hour", (0.7, "05"))
    stage.settle()

    # In one batch with the event that starts the journey, and in the order in which they came.
    stage.identify("u1", profiling=False)
    for number in (1, 2):
        stage.track(f"u{number}", "Product Added", cart=f"c{number}")
    stage.tick()
    due: dict[int, int] = dict(stage.rows("SELECT profile_id, due_at FROM enrollment"))
    stage.settle(until=stage.now + DAY)

    hour_of = {profile: (at // HOUR) % 24 for profile, at in due.items()}
    assert hour_of[2] == 5
    assert hour_of[1] != 5, "anywhere within the day: by their number's lot not at five"
    assert {row[0] for row in stage.rows("SELECT profile_id FROM message")} == {2}


def test_who_consents_again_has_a_score_at_the_next_refresh(stage: Published) -> None:
    published(stage)
    stage.settle()
    # Both in one batch: that it is one must not be seen.
    stage.identify("u1", profiling=False)
    stage.identify("u1", profiling=True)
    stage.tick()
    stage.identify("u2", profiling=False)
    stage.tick()
    stage.identify("u2", profiling=True)
    stage.settle()
    between = inside(stage, "risky"), scored(stage)

    stage.now += HOUR
    done = published(stage)
    stage.settle()

    assert between == ({3, 4}, {3, 4})
    assert done.n_refused == 0
    assert inside(stage, "risky") == {1, 2, 3, 4}


def test_where_silence_refuses_a_yes_that_is_taken_back_refuses(stage: Published) -> None:
    stage.apply(STRICT)
    for number in (1, 2):
        stage.identify(f"u{number}", profiling=True)
    stage.settle()
    done = published(stage)
    stage.settle()
    before = inside(stage, "risky")

    stage.identify("u1", profiling=None)
    stage.tick()

    assert (done.n_scored, done.n_refused) == (2, 2)
    assert before == {1, 2}
    assert (inside(stage, "risky"), scored(stage)) == ({2}, {2})


def test_a_stricter_rule_holds_for_everybody_from_its_release_on(stage: Published) -> None:
    stage.identify("u1", profiling=True)
    published(stage)
    stage.settle()

    stage.apply(STRICT)
    seen = asked(stage, "risky")
    stage.settle()

    assert seen == {"u1"}
    assert (inside(stage, "risky"), scored(stage)) == ({1}, {1})


def test_an_update_step_that_sets_the_trait_counts_like_an_event(stage: Published) -> None:
    journey = "journey:\n  - update: {traits: {profiling: false}}\n    id: no\n"
    settled = SETTINGS.replace("traits: {", "traits: {profiling: {type: boolean}, ")
    stage.apply({
        **SHOP,
        "antiphon.yaml": settled,
        "campaigns/cart.yaml": CART.split("journey:")[0] + journey,
    })  # fmt: skip
    published(stage)
    stage.settle()

    stage.track("u3", "Product Added", cart="c3")
    stage.tick()

    assert (inside(stage, "risky"), scored(stage)) == ({1, 2, 4}, {1, 2, 4})


def test_a_refusal_while_a_run_is_written_is_not_written_back(stage: Published) -> None:
    process = stage.process
    in_the_midst = iter([True])

    def write(function: Any) -> Any:
        done = process.write(function)
        if next(in_the_midst, False):  # After the run is begun, before its rows.
            stage.identify("u1", profiling=False)
            stage.tick()
        return done

    about = About(kind="score", as_of=stage.now)
    lesson = Lesson(
        Artifact({}, {}), True, "better", {}, "d", dict.fromkeys(range(1, 5), (0.9, ""))
    )
    Registry(process.database, write, process.playbook.program).keep(
        "churn", about, lesson, now=stage.now
    )
    stage.settle()

    assert scored(stage) == {2, 3, 4}
    assert inside(stage, "risky") == {2, 3, 4}


def test_who_writes_scores_waits_for_a_refusal_that_is_half_done(stage: Published) -> None:
    # Two processes: one has played the refusal and not committed, the other writes a run's rows.
    database = stage.process.database
    with database.write() as connection:
        run = scores.begin(connection, "churn", kind="score", now=stage.now)
    rows = [(number, Score(0.9, 0.0, "", run), "") for number in (1, 2)]
    begun, done = Event(), Event()

    def write_rows() -> None:
        begun.set()
        with database.write() as connection:
            scores.add(connection, "churn", run, rows, profiling=Profiling())
        done.set()

    with ThreadPoolExecutor(1) as other:
        with database.write() as connection:
            connection.execute(
                "UPDATE profile SET traits = ? WHERE id = 1", ('{"profiling":false}',)
            )
            scores.forget(connection, [1])
            written = other.submit(write_rows)
            begun.wait(10)
            was_early = done.wait(0.3)
        written.result(timeout=30)

    assert not was_early
    assert scored(stage) == {2}


def test_rolling_back_brings_nobody_back_who_has_refused_since(stage: Published) -> None:
    registry = Registry(stage.process.database, stage.process.write, stage.process.playbook.program)
    for number in (1, 2):
        lesson = Lesson(
            Artifact({}, {}), True, "better", {}, "d",
            dict.fromkeys(range(1, 5), (0.9 if number == 1 else 0.1, "")),
        )  # fmt: skip
        registry.keep("churn", About("score", stage.now), lesson, now=stage.now)
    stage.settle()
    stage.identify("u1", profiling=False)
    stage.settle()

    registry.roll_back("churn", None, now=stage.now)
    stage.settle()

    assert inside(stage, "risky") == {2, 3, 4}


def test_a_merge_keeps_the_refusal_of_either_and_forgets_both_scores(stage: Published) -> None:
    # Two visitors: one says no and logs in as who said yes, the other the other way round.
    for number, said in ((1, True), (2, False)):
        stage.identify(f"u{number}", profiling=said)
    for number, said in ((5, False), (6, True)):
        stage.send({
            "type": "identify", "anonymousId": f"a{number}", "traits": {"profiling": said}
        })  # fmt: skip
    stage.settle()
    published(stage, "churn", (0.9, ""), 1, 2, 3, 4, 5, 6)
    stage.settle()
    before = scored(stage)

    for user, device in (("u1", "a5"), ("u2", "a6")):
        stage.send({
            "type": "track", "userId": user, "anonymousId": device, "event": "Logged In"
        })  # fmt: skip
    stage.settle()

    merged: dict[int, int] = dict(
        stage.rows("SELECT id, merged_into FROM profile WHERE merged_into IS NOT NULL")
    )
    assert merged == {5: 1, 6: 2}
    assert before == {1, 3, 4, 6}
    assert scored(stage) == {3, 4}
    assert inside(stage, "risky") == {3, 4}
    done = published(stage)
    assert (done.n_scored, done.n_refused) == (2, 2)


def test_scores_of_a_file_leave_out_who_refuses_and_say_how_many(
    stage: Published, tmp_path: Any
) -> None:
    stage.identify("u1", profiling=False)
    stage.settle()
    path = tmp_path / "scores.csv"
    path.write_text("user_id,value\nu1,0.9\nu2,0.8\nstranger,0.1\n")

    def load() -> Any:
        return load_file(
            stage.process.database, str(path), model="churn",
            program=stage.process.playbook.program, write=stage.process.write, now=stage.now,
        )  # fmt: skip

    done = load()
    path.write_text("user_id,value\nu1,0.9\n")

    assert (done.n_scored, done.n_unknown, done.n_refused) == (1, 1, 1)
    assert scored(stage) == {2}
    with pytest.raises(UsageError, match=r"refuses to be profiled .*the one before it stays"):
        load()


def test_the_past_does_not_know_them_either(stage: Published) -> None:
    published(stage)
    stage.settle()
    then = stage.now
    stage.now += DAY
    stage.identify("u1", profiling=False)
    stage.settle()

    segments = stage.process.playbook.segments
    with stage.process.database.read() as connection:
        members = members_at(connection, segments, "risky", at=then)
        found = {int(it.then.profile.id) for it in members}

    assert found == {2, 3, 4}
