"""P12: what was parked comes back when its cause is mended, once. On both databases."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine.ticking.poison
import engine.ticking.tick
from engine.commands import parked as command
from engine.core import play as core_play
from engine.core.errors import UsageError
from engine.core.model.instants import HOUR
from engine.steady import present
from engine.ticking.replaying import Replayed, replay
from tests.engine.test_poison import live_until_idle
from tests.rig import planted_sending as planted
from tests.rig.recorder import Poisoned, Recorder, recording, replaced
from tests.rig.sizes import scaled
from tests.rig.stage import Stage, an_event

KINDS: tuple[type[Exception], ...] = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError,
    RecursionError, MemoryError, AssertionError, UnicodeError, LookupError, ArithmeticError,
    RuntimeError, NotImplementedError, StopIteration, OSError, EOFError, NameError, BufferError,
)  # fmt: skip
"""Twenty ways in which a step can raise."""
N_POISON = scaled(20)
N_OTHERS = 99 * N_POISON


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    opened.settle()
    yield opened
    opened.close()


def replayed(stage: Stage, *ids: int) -> Replayed:
    done: Replayed = stage.process.write(
        lambda it: replay(it, ids, log=stage.process.log, now=stage.now)
    )
    return done


def with_a_parked_order(stage: Stage) -> None:
    with recording(Recorder()):
        stage.track("u1", "Order Completed", order="o1", poison="raise")
        stage.track("u1", "Order Completed", order="o2")
        live_until_idle(stage)


def test_a_parked_event_is_played_when_it_is_replayed_and_is_still_one_event(
    stage: Stage,
) -> None:
    with_a_parked_order(stage)
    before = stage.messages("receipt")

    done = replayed(stage)
    stage.settle()

    assert len(before) == 1
    assert (len(done.replayed), done.gone, done.unknown) == (1, [], [])
    assert len(stage.messages("receipt")) == 2
    n_orders = "SELECT count(*) FROM event WHERE name = 'Order Completed'"
    assert stage.rows(n_orders) == [(2,)]
    assert stage.rows("SELECT replayed_at FROM parked") == [(stage.now,)]


def test_the_planted_bug_of_a_copied_event_is_caught(stage: Stage) -> None:
    with planted.a_replay_copies_the_event(), pytest.raises(AssertionError):
        test_a_parked_event_is_played_when_it_is_replayed_and_is_still_one_event(stage)


def test_asking_twice_replays_once(stage: Stage) -> None:
    with_a_parked_order(stage)

    first, second, third = replayed(stage, 1), replayed(stage, 1), replayed(stage)
    stage.settle()

    assert (first.replayed, second.replayed, third.replayed) == ([1], [], [])
    assert len(stage.messages("receipt")) == 2


def test_the_message_id_of_a_replayed_event_is_still_known(stage: Stage) -> None:
    with_a_parked_order(stage)
    replayed(stage)
    again = {"messageId": "m2", **an_event("u1", "Order Completed", order="o1")}

    (answer,) = stage.send(again)

    assert answer.status == "duplicate"


def test_what_is_poison_still_is_parked_again_under_a_new_number(stage: Stage) -> None:
    with_a_parked_order(stage)
    replayed(stage)

    with recording(Recorder()):
        live_until_idle(stage)

    assert stage.rows("SELECT id, replayed_at IS NULL FROM parked ORDER BY id") in (
        [(1, False), (2, True)],
        [(1, 0), (2, 1)],
    )
    assert len(stage.messages("receipt")) == 1


def test_a_frozen_step_goes_on_where_it_stood(stage: Stage) -> None:
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    stage.now += HOUR

    def play(*_given: Any, **_more: Any) -> Any:
        raise Poisoned("the step fails")

    def patient(person: Any, events: Any, **given: Any) -> Any:
        due = [it for it in person.enrollments if it.due_at <= given["horizon"]]
        return play() if due else Recorder().play(person, events, **given)

    with replaced((engine.ticking.tick, "play", patient), (engine.ticking.poison, "play", patient)):
        live_until_idle(stage)
    frozen = stage.rows("SELECT step FROM enrollment WHERE reason LIKE 'parked%'")

    done = replayed(stage)
    stage.settle()

    assert frozen == [("settle",)]
    assert len(done.replayed) == 1
    ((step, reason),) = stage.rows("SELECT step, reason FROM enrollment")
    assert (step, reason) == ("wait", "")
    assert len(stage.messages("soft")) == 1


def test_a_step_whose_passage_has_ended_is_gone_and_a_number_that_never_was_is_unknown(
    stage: Stage,
) -> None:
    stage.process.write(
        lambda it: it.execute(
            "INSERT INTO parked (id, kind, profile_id, ref, reason, attempts, payload, parked_at) "
            "VALUES (7, 'enrollment', 1, 99, '', 5, '{\"due_at\": 1}', 0)"
        )
    )

    done = replayed(stage, 7, 8)

    assert done == Replayed(replayed=[], gone=[7], unknown=[8])


def test_poison_of_twenty_kinds_stops_none_of_a_hundred_times_as_many_others(
    stage: Stage,
) -> None:
    """Every kind raises where it is played. ANTIPHON_TEST_SCALE=50: 1,000 among 100,000."""
    n_people = 50
    for number in range(2, n_people + 1):
        stage.identify(f"u{number}")
    n_all = N_POISON + N_OTHERS
    orders = [
        an_event(f"u{n % n_people + 1}", "Order Completed", order=f"o{n}", kind=kind)
        for n in range(n_all)
        for kind in [n // 100 % len(KINDS) if n % 100 == 50 else -1]
    ]
    for start in range(0, n_all, 500):
        stage.send(*orders[start : start + 500])

    def play(person: Any, events: Any, **given: Any) -> Any:
        for event in events:
            if event.properties.get("kind", -1) >= 0:
                raise KINDS[event.properties["kind"]](f"order {event.properties['order']}")
        return honest(person, events, **given)

    honest = core_play.play
    with replaced((engine.ticking.tick, "play", play), (engine.ticking.poison, "play", play)):
        live_until_idle(stage)
    parked = stage.rows("SELECT reason FROM parked")
    n_played = len(stage.messages("receipt"))
    done = replayed(stage)
    stage.settle()

    assert len(parked) == N_POISON
    assert len({reason.partition(":")[0] for (reason,) in parked}) == min(20, N_POISON)
    assert n_played == N_OTHERS
    assert len(done.replayed) == N_POISON
    assert len(stage.messages("receipt")) == n_all


# --- the command --------------------------------------------------------------------------------


def ran(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_the_command_puts_back_what_is_named_and_says_what_it_did(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with_a_parked_order(stage)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", stage.url)
    monkeypatch.setenv("ANTIPHON_SECRET_KEY", "a secret of sufficient length")

    codes = [ran("list", str(tmp_path))]
    codes.append(ran("replay", str(tmp_path), "1", "--json"))
    codes.append(ran("replay", str(tmp_path), "9"))
    codes.append(ran("list", str(tmp_path)))
    stage.now = present()  # the command's clock is the real one
    stage.settle()

    _, replayed_line, *rest = capsys.readouterr().out.splitlines()
    assert codes == [1, 0, 1, 0]
    assert json.loads(replayed_line) == {"replayed": [1], "gone": [], "unknown": []}
    assert rest[-1] == "nothing is parked"
    assert "not parked: 9" in rest[1]
    assert len(stage.messages("receipt")) == 2


def test_a_word_where_a_number_stands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='found "three" where the number'):
        ran("replay", str(tmp_path), "three")
