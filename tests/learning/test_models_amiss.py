"""What is wrong with a model is said where somebody looks, and keeps nobody from an answer."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.errors import UsageError
from engine.core.model.effects import PickAsk
from engine.core.model.instants import DAY, ProfileId
from engine.learning.artifact import Artifact
from engine.learning.lessons import Lesson
from engine.learning.mentions import readers
from engine.learning.picking import Picker, Shown
from engine.learning.refreshing import Learner, refresh
from engine.learning.registry import Registry
from engine.learning.shown import table
from engine.learning.watching import Standing, standings
from engine.steady import elapsed
from engine.store import scores
from engine.store.models import About
from tests.engine.publishing import CART, FILES, Published
from tests.learning.test_refreshing import built as built
from tests.learning.test_refreshing import shop as shop

READ = {
    **FILES,
    "models/churn.yaml": "score: churn\ntarget: {not: {event: Order Completed, within: 60d}}\n",
    "models/hour.yaml": "send_time: their-hour\n",
    "segments/risky.yaml": "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n",
    "campaigns/cart.yaml": CART.split("journey:")[0]
    + "journey:\n  - best_time: {within: 24h, model: their-hour}\n    id: hour\n",
}


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    for number in range(1, 4):
        opened.identify(f"u{number}")
    opened.settle()
    yield opened
    opened.close()


def a_registry(stage: Published) -> Registry:
    process = stage.process
    return Registry(process.database, process.write, process.playbook.program)


def a_lesson(**metrics: Any) -> Lesson:
    values = dict.fromkeys((1, 2, 3), (0.9, ""))
    return Lesson(Artifact({}, {}), True, "better", metrics, "d", values)


def listed(stage: Published, *, is_opened: bool = False) -> dict[str, Standing]:
    with stage.process.database.read() as connection:
        workspace = stage.process.playbook.workspace
        found = standings(connection, workspace, now=stage.now, is_opened=is_opened)
    return {it.model: it for it in found}


def damage(stage: Published, model: str) -> None:
    stage.process.write(
        lambda it: it.execute(
            "UPDATE model_artifact SET data = ? WHERE model = ?", (b"PK\x03\x04 torn", model)
        )
    )


def asked(stage: Published, picker: Picker) -> Shown:
    ask = PickAsk(ProfileId(1), "also-bought", 3, 0, (), (), stage.now)
    with stage.process.database.read() as connection:
        return picker.shown(connection, stage.process.playbook, ask)


def test_readers_are_named_by_what_a_file_calls_them(stage: Published) -> None:
    stage.apply(READ)

    assert readers(stage.process.playbook.workspace) == {
        "churn": ['segment "risky"'],
        "their-hour": ['campaign "cart", step "hour"'],
    }


def test_the_first_plan_says_of_models_that_they_were_never_trained_and_so_does_every_next(
    stage: Published,
) -> None:
    first = stage.plan(READ).models
    stage.apply(READ)
    stage.now += DAY

    again = stage.plan(READ).models
    other = stage.words({**READ, "segments/x.yaml": "segment: x\nwhen: {trait: {plan: pro}}\n"})

    said = (
        '! segment "risky" reads churn, which was never trained: nobody has an answer of it. '
        "antiphon model train churn"
    )
    assert first == again
    assert again[0] == said
    assert again[1].startswith('! campaign "cart", step "hour" reads their-hour, which was never')
    assert "hours are chosen as if there were no model" in again[1]
    assert said in other


def test_a_plan_says_that_what_a_segment_reads_is_stale_and_why_it_was_not_renewed(
    stage: Published,
) -> None:
    stage.apply(READ)
    registry = a_registry(stage)
    registry.keep("churn", About("score", stage.now), a_lesson(), now=stage.now)
    registry.keep("their-hour", About("send_time", stage.now), a_lesson(), now=stage.now)
    fresh = stage.plan(READ).models
    stage.now += 16 * DAY
    registry.keep("their-hour", About("send_time", stage.now), a_lesson(), now=stage.now)
    registry.refuse("churn", About("score", stage.now), "nobody ever left", now=stage.now)

    assert fresh == ()
    assert stage.plan(READ).models == (
        '! segment "risky" reads churn, whose champion is 16 days old; it is refreshed every 1w '
        "(run 2 was refused: nobody ever left). antiphon model train churn",
    )


def test_a_first_training_that_was_refused_is_said_with_its_words(stage: Published) -> None:
    stage.apply({**READ, "campaigns/cart.yaml": CART})
    a_registry(stage).refuse("churn", About("score", stage.now), "too little", now=stage.now)

    (said,) = stage.plan({**READ, "campaigns/cart.yaml": CART}).models

    assert said.endswith(
        "reads churn, of which nothing is read (nobody has an answer of it); "
        "run 1 was refused: too little"
    )


def test_chances_that_were_not_met_are_told_and_marked_in_the_list(stage: Published) -> None:
    stage.apply(READ)
    off = {"n": 900, "foretold": 0.25, "came": 0.41, "why": "of 900 people 25.0% were foretold"}
    lesson = a_lesson(calibration={**off, "ece": 0.16, "z": 9.0})
    a_registry(stage).keep("churn", About("score", stage.now), lesson, now=stage.now)

    standing = listed(stage)["churn"]
    shown = table([standing], now=stage.now)

    assert standing.warnings() == ["churn is off: of 900 people 25.0% were foretold"]
    assert "25.0%" in shown
    assert "41.0% !" in shown


def test_a_damaged_recommender_falls_down_its_chain_says_so_once_and_is_listed(
    shop: Published, caplog: pytest.LogCaptureFixture
) -> None:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    refresh(learner, "also-bought", as_of=shop.now, now=shop.now)
    damage(shop, "also-bought")
    picker = Picker()
    caplog.set_level(logging.WARNING, "antiphon.learning")

    first, second = asked(shop, picker), asked(shop, picker)

    assert (first.run, len(first.rows)) == (1, 3)
    assert {row["source"] for row in first.rows} <= {"popular", "editorial", "new"}
    assert first.fault.startswith("what run 1 has learnt cannot be read: ")
    assert second.rows == first.rows
    assert len([it for it in caplog.records if "cannot be read" in it.message]) == 1
    (said,) = listed(shop, is_opened=True)["also-bought"].warnings()
    assert said.startswith("also-bought is damaged: what run 1 has learnt cannot be read")
    assert "); its fallbacks answer. " in said
    assert said.endswith("antiphon model train also-bought")


def test_a_damaged_score_goes_on_answering_by_its_rows_and_the_list_says_so(
    stage: Published,
) -> None:
    stage.apply(READ)
    a_registry(stage).keep("churn", About("score", stage.now), a_lesson(), now=stage.now)
    damage(stage, "churn")

    (said,) = listed(stage, is_opened=True)["churn"].warnings()

    assert "what it said of people still answers" in said
    assert "fallbacks" not in said
    with stage.process.database.read() as connection:
        said_of = scores.details(connection, ProfileId(1))
    assert said_of["churn"][0].value == 0.9


def test_of_a_recommender_that_was_never_trained_a_plan_says_that_its_chain_answers(
    stage: Published,
) -> None:
    shown = {
        **FILES,
        "models/also.yaml": "recommender: also-bought\nfallback: [popular, new]\n",
        "campaigns/cart.yaml": CART.split("journey:")[0]
        + "journey:\n  - recommend: {model: also-bought, n: 3}\n    id: picks\n",
    }

    (said,) = stage.plan(shown).models

    assert said.endswith(
        "reads also-bought, which was never trained: its fallbacks answer (popular, new). "
        "antiphon model train also-bought"
    )


def test_a_damaged_champion_does_not_keep_the_next_from_being_trained(shop: Published) -> None:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    picker = Picker()
    for name in ("churn", "also-bought"):
        refresh(learner, name, as_of=shop.now, now=shop.now)
        damage(shop, name)
    before = asked(shop, picker)

    done = [
        refresh(learner, name, as_of=shop.now, now=shop.now) for name in ("churn", "also-bought")
    ]

    after = asked(shop, picker)
    assert [it.status for it in done] == ["champion", "champion"]
    assert (bool(before.fault), after.fault, after.run) == (True, "", 2)
    assert listed(shop, is_opened=True)["churn"].fault == ""


def test_a_damaged_run_is_not_rolled_back_to(stage: Published) -> None:
    stage.apply(READ)
    registry = a_registry(stage)
    registry.keep("churn", About("score", stage.now), a_lesson(), now=stage.now)
    damage(stage, "churn")
    registry.keep("churn", About("score", stage.now), a_lesson(), now=stage.now)

    with pytest.raises(UsageError, match=r'run 1 of "churn" cannot be read again: a stored model'):
        registry.roll_back("churn", None, now=stage.now)


def test_a_new_champion_knows_at_once_how_its_chances_were_met(shop: Published) -> None:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    refresh(learner, "churn", as_of=shop.now, now=shop.now)

    found = listed(shop)["churn"].calibration

    ((n,),) = shop.rows("SELECT count(*) FROM profile")
    assert 0 < found["n"] <= n
    assert 0 < found["came"] < 1
    assert abs(found["foretold"] - found["came"]) < 0.25
