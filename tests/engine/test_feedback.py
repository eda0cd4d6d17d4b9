"""P5: reports in any order, any number of times, come to the same. On both databases."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from channels.delivery import DeliveryEvent
from engine import failpoints
from engine.core.model.instants import MINUTE, SECOND
from engine.failpoints import Crash
from engine.hearing.feedback import EVENT_NAMES, ORDER, merged
from tests.rig.stage import NOON, Stage

KINDS = (*ORDER, "autoresponded", "unknown", "inbound")


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    opened.a_receipt()
    opened.drain()
    yield opened
    opened.close()


def a_report(kind: Any, *, message: int, n: int = 1, **more: Any) -> DeliveryEvent:
    return DeliveryEvent(**{
        "kind": kind, "message": message, "event_id": f"e{n}", "at": NOON + n * SECOND, **more
    })  # fmt: skip


def the_message(stage: Stage) -> int:
    return int(stage.rows("SELECT id FROM message")[0][0])


def test_shuffled_and_tripled_reports_end_where_sorted_unique_ones_do() -> None:
    """Instants are few on purpose: ties are where an order could still show."""
    rng = random.Random(5)

    for _ in range(2_000):
        reports = [
            a_report(rng.choice(KINDS), message=1, at=NOON + rng.randrange(3), n=n)
            for n in range(rng.randint(1, 6))
        ]
        row = None
        for it in sorted(reports, key=lambda it: (it.at, it.event_id)):
            row = merged(row, it)
        shuffled = None
        for it in rng.sample(reports * 3, k=3 * len(reports)):
            shuffled = merged(shuffled, it)

        assert shuffled == row


def test_in_the_database_too_the_order_and_number_of_reports_is_of_no_account(
    stage: Stage,
) -> None:
    """Two messages hear the same; one in order and once, the other shuffled, tripled, in pieces."""
    rng = random.Random(7)
    stage.a_receipt(order="o2")
    stage.drain()
    (first,), (second,) = stage.rows("SELECT id FROM message ORDER BY id")
    told = [(kind, NOON + n % 4 * SECOND) for n, kind in enumerate(KINDS) if kind in ORDER] * 2
    orderly = [
        a_report(k, message=first, at=at, event_id=f"a{n}") for n, (k, at) in enumerate(told)
    ]
    wild = [a_report(k, message=second, at=at, event_id=f"b{n}") for n, (k, at) in enumerate(told)]
    wild = rng.sample(wild * 3, k=3 * len(wild))

    stage.report(*sorted(orderly, key=lambda it: (it.at, it.event_id)))
    counts = [stage.report(*wild[n : n + 5]) for n in range(0, len(wild), 5)]

    of_first, of_second = stage.rows(
        "SELECT status, at, opened_at, clicked_at FROM delivery ORDER BY message_id"
    )
    assert of_first == of_second
    assert of_first[0] == "complained"
    assert sum(counts) == len(told)
    assert stage.rows("SELECT count(*) FROM delivery_event") == [(2 * len(told),)]
    names = [
        sorted(
            row[0]
            for row in stage.rows("SELECT name, properties FROM event WHERE name LIKE 'Message%'")
            if f'"message":{message},' in row[1]
        )
        for message in (first, second)
    ]
    assert names[0] == names[1] == sorted(EVENT_NAMES[k] for k, _ in told if k in EVENT_NAMES)


def test_a_status_never_moves_backwards(stage: Stage) -> None:
    message = the_message(stage)

    stage.report(a_report("clicked", message=message, n=3))
    stage.report(a_report("delivered", message=message, n=1))
    stage.report(a_report("sent", message=message, n=9))

    assert stage.rows("SELECT status, clicked_at FROM delivery") == [("clicked", NOON + 3 * SECOND)]


def test_a_repeated_report_is_counted_and_logged_once(stage: Stage) -> None:
    report = a_report("opened", message=the_message(stage))

    counts = [stage.report(report, report), stage.report(report)]

    assert counts == [1, 0]
    assert stage.rows("SELECT count(*) FROM event WHERE name = 'Message Opened'") == [(1,)]


def test_a_hard_bounce_suppresses_the_address_in_the_same_transaction(stage: Stage) -> None:
    message = the_message(stage)

    stage.report(a_report("bounced", message=message, bounce_class="hard"))
    stage.report(a_report("complained", message=message, n=2))

    rows = stage.rows("SELECT suppressed, suppressed_at FROM contact WHERE channel = 'email'")
    assert rows == [("hard bounce", NOON + SECOND)]


def test_a_complaint_stops_even_the_next_transactional_message(stage: Stage) -> None:
    stage.report(a_report("complained", message=the_message(stage)))
    stage.a_receipt(order="o2")

    stage.drain()

    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [("complaint",)]
    assert [status for status, _ in stage.messages("receipt")] == ["sent", "dropped"]


def test_a_suppression_and_its_report_are_committed_together_or_not_at_all(stage: Stage) -> None:
    report = a_report("bounced", message=the_message(stage), bounce_class="hard")

    def die(hit: str) -> None:
        if hit == "webhook commit":
            raise Crash

    failpoints.install(die)
    try:
        with pytest.raises(Crash):
            stage.report(report)
    finally:
        failpoints.install(None)
    stage.restart()
    before = stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'")
    n_new = stage.report(report)

    assert before == [(None,)]
    assert n_new == 1
    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [
        ("hard bounce",)
    ]


def test_the_same_event_id_of_another_provider_is_another_report(stage: Stage) -> None:
    report = a_report("opened", message=the_message(stage))

    counts = [stage.report(report, provider=name) for name in ("one", "other", "one")]

    assert counts == [1, 1, 0]


def test_a_soft_bounce_suppresses_nobody(stage: Stage) -> None:
    stage.report(a_report("bounced", message=the_message(stage), bounce_class="soft"))

    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [(None,)]


@pytest.mark.parametrize("kind", ["opened", "clicked"])
def test_an_open_or_click_by_a_machine_shows_delivery_and_no_reader(
    stage: Stage, kind: str
) -> None:
    stage.report(a_report(kind, message=the_message(stage), is_machine=True))

    assert stage.rows("SELECT status, opened_at, clicked_at FROM delivery") == [
        ("delivered", None, None)
    ]


def test_a_report_about_an_unknown_message_is_remembered_and_otherwise_ignored(
    stage: Stage,
) -> None:
    report = a_report("delivered", message=999_999)

    counts = [stage.report(report), stage.report(report)]

    assert counts == [1, 0]
    assert stage.rows("SELECT count(*) FROM delivery") == [(0,)]


def test_a_report_that_comes_before_our_own_outcome_is_taken_in(stage: Stage) -> None:
    stage.a_receipt(order="o2")
    ((message,),) = stage.rows("SELECT max(id) FROM message")

    stage.report(a_report("delivered", message=message))
    stage.drain()

    assert stage.rows("SELECT status FROM message WHERE id = ?", message) == [("sent",)]
    assert stage.rows("SELECT status FROM delivery") == [("delivered",)]


def test_a_report_becomes_an_event_that_the_profile_plays(stage: Stage) -> None:
    stage.report(a_report("clicked", message=the_message(stage)))
    stage.now += MINUTE

    done = stage.tick()

    assert done.n_events == 1
    ((name, properties),) = stage.rows(
        "SELECT name, properties FROM event WHERE name LIKE 'Message%'"
    )
    assert name == "Message Clicked"
    assert '"template":"receipt"' in properties
