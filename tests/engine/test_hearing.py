"""What verified reports change: whose message, which attempt, which address. On both databases."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.base import Ambiguous, NotSent, RefusedBy
from channels.delivery import DeliveryEvent
from engine.core.model.instants import DAY, MINUTE, SECOND
from engine.hearing import hear as hearing
from engine.hearing.attribution import Attributed, Speaker
from engine.hearing.hear import STRAYS_MAX, Heard, hear
from engine.store.suppressions import SOFT_REST
from tests.rig.stage import NOON, Stage

SPEAKER = Speaker("email", "email", "scripted-email")
SMS = Speaker("sms", "sms", "scripted-sms")


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    opened.a_receipt()
    yield opened
    opened.close()


def told(stage: Stage, *events: DeliveryEvent, by: Speaker = SPEAKER) -> dict[str, int]:
    process = stage.process
    counts = process.write(
        lambda connection: hear(
            connection,
            [Heard(by, events)],
            address_hash=process.vault.address_hash,
            log=process.log,
            now=stage.now,
        )
    )
    return {what: n for (_, what), n in counts.items()}


def an_event(kind: Any, *, n: int = 1, **more: Any) -> DeliveryEvent:
    given = {"message": None, "event_id": f"{kind}{n}", "at": NOON + n * SECOND, **more}
    return DeliveryEvent(kind=kind, **given)


def the_message(stage: Stage) -> int:
    return int(stage.rows("SELECT max(id) FROM message")[0][0])


def test_a_message_is_found_by_the_providers_own_name(stage: Stage) -> None:
    stage.drain()

    counts = told(stage, an_event("delivered", provider_id="p1"))

    assert counts == {"delivered": 1}
    assert stage.rows("SELECT message_id, status FROM delivery") == [
        (the_message(stage), "delivered")
    ]


@pytest.mark.parametrize(
    ("by", "name"),
    [
        (SPEAKER, "p2"),
        (Speaker("email", "email", "another-vendor"), "p1"),
        (Speaker("sms", "sms", "scripted-email"), "p1"),
        (Speaker("second", "email", "scripted-email"), ""),
    ],
    ids=["another name", "another vendor", "another kind", "another account"],
)
def test_whoever_did_not_send_a_message_has_no_say_in_it(
    stage: Stage, by: Speaker, name: str
) -> None:
    stage.drain()

    counts = told(
        stage, an_event("complained", message=the_message(stage), provider_id=name), by=by
    )

    assert counts == {"foreign": 1}
    assert stage.rows("SELECT count(*) FROM delivery") == [(0,)]
    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [(None,)]


def test_a_report_that_overtakes_the_answer_waits_for_the_name(stage: Stage) -> None:
    """The provider calls back before its own answer has reached us, and names only itself."""
    before = told(stage, an_event("delivered", provider_id="p1"))

    stage.drain()

    assert before == {"stray": 1}
    assert stage.rows("SELECT status FROM delivery") == [("delivered",)]
    assert stage.rows("SELECT count(*) FROM stray_report") == [(0,)]


def test_a_report_by_our_id_is_believed_while_the_answer_is_on_its_way(stage: Stage) -> None:
    message = the_message(stage)
    answered: list[dict[str, int]] = []
    deliver = stage.email.deliver

    async def slowly(out: Any) -> Any:
        answered.append(
            told(stage, an_event("delivered", message=message, provider_id="not known yet"))
        )
        return await deliver(out)

    stage.email.deliver = slowly  # type: ignore[method-assign]
    stage.drain()

    assert answered == [{"delivered": 1}]
    assert stage.rows("SELECT status FROM message WHERE id = ?", message) == [("sent",)]


def test_strays_are_bounded(stage: Stage) -> None:
    for start in range(0, STRAYS_MAX + 2_000, 1_000):
        told(
            stage,
            *[an_event("delivered", n=n, provider_id=f"x{n}") for n in range(start, start + 1_000)],
        )

    assert stage.rows("SELECT count(*) FROM stray_report") == [(STRAYS_MAX,)]
    stage.now += 31 * DAY
    told(stage, an_event("opened", provider_id="y"))
    assert stage.rows("SELECT count(*) FROM stray_report") == [(1,)]


@pytest.mark.parametrize("kind", ["sent", "delivered", "bounced", "opened", "deferred"])
def test_an_attempt_of_unclear_fate_is_settled_by_a_later_report(stage: Stage, kind: str) -> None:
    """A transactional message would be sent again, a copy that nobody needs."""
    stage.email.script.append(Ambiguous("reply lost"))
    stage.drain()
    message = the_message(stage)
    waiting = stage.rows("SELECT status FROM message WHERE id = ?", message)

    told(stage, an_event(kind, message=message, provider_id="late"))
    stage.now += 10 * MINUTE
    stage.drain()

    assert waiting == [("queued",)]
    assert stage.rows("SELECT status, reason FROM message WHERE id = ?", message) == [("sent", "")]
    assert stage.rows("SELECT outcome, provider_id FROM attempt") == [("accepted", "late")]
    assert len(stage.email.calls) == 1


def test_a_marketing_message_whose_fate_was_unknown_becomes_sent(stage: Stage) -> None:
    stage.drain()
    stage.a_cart_message()
    stage.email.script.append(Ambiguous("reply lost"))
    stage.drain()
    message = the_message(stage)
    before = stage.rows("SELECT status FROM message WHERE id = ?", message)

    told(stage, an_event("delivered", message=message))
    told(stage, an_event("deferred", message=message))

    assert before == [("unknown",)]
    assert stage.rows("SELECT status FROM message WHERE id = ?", message) == [("sent",)]
    assert stage.rows("SELECT status FROM delivery") == [("delivered",)]


def test_a_report_that_came_during_a_call_settles_it_when_its_answer_is_lost(
    stage: Stage,
) -> None:
    message = the_message(stage)

    async def lost(_out: Any) -> Any:
        told(stage, an_event("delivered", message=message))
        return Ambiguous("reply lost")

    stage.email.deliver = lost  # type: ignore[method-assign]
    stage.drain()

    assert stage.rows("SELECT status FROM message WHERE id = ?", message) == [("sent",)]
    assert stage.attempts() == ["accepted"]


def test_a_refused_or_unsent_attempt_is_settled_by_nothing(stage: Stage) -> None:
    stage.email.script.append(NotSent("no route"))
    stage.drain()
    message = the_message(stage)

    counts = told(stage, an_event("delivered", message=message, provider_id="who"))

    assert counts == {"foreign": 1}
    assert stage.rows("SELECT status FROM message WHERE id = ?", message) == [("queued",)]


def test_who_opted_out_at_the_provider_is_withdrawn_when_it_refuses(stage: Stage) -> None:
    stage.email.script.append(RefusedBy("recipient", "21610", "opted out", is_opt_out=True))

    stage.drain()

    assert stage.rows("SELECT withdrawn FROM contact WHERE channel = 'email'") == [('["*"]',)]
    assert stage.rows("SELECT channel, topic, granted, source FROM consent_change "
                      "WHERE source = 'provider'") == [("email", "*", 0, "provider")]  # fmt: skip
    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [(None,)]


# --- bounces ------------------------------------------------------------------------------------


def soft_bounces(stage: Stage, days: list[int], **more: Any) -> list[DeliveryEvent]:
    """One message a day of these, each bounced softly."""
    events = []
    for n, day in enumerate(days):
        stage.now = NOON + day * DAY
        stage.a_receipt(order=f"soft{n}")
        stage.drain()
        events.append(
            an_event("bounced", n=n, message=the_message(stage), at=stage.now,
                     **{"bounce_class": "soft", **more})
        )  # fmt: skip
    return events


def suppression(stage: Stage) -> Any:
    return stage.rows("SELECT suppressed, suppressed_until FROM contact WHERE channel = 'email'")[0]


@pytest.mark.parametrize(
    ("days", "is_enough"),
    [([1, 2], False), ([1, 2, 3], True), ([1, 2, 40], False), ([1, 20, 31], True),
     ([1, 20, 32], False), ([1, 20, 40, 45], True)],
)  # fmt: skip
def test_three_soft_bounces_within_30_days_let_an_address_rest_for_90(
    stage: Stage, days: list[int], is_enough: bool
) -> None:
    stage.drain()
    events = soft_bounces(stage, days)

    told(stage, *random.Random(1).sample(events * 3, k=3 * len(events)))

    until = NOON + days[-1] * DAY + SOFT_REST
    assert suppression(stage) == (("soft bounces", until) if is_enough else (None, None))


@pytest.mark.parametrize(
    ("bounce_class", "is_counted"),
    [("soft", True), ("undetermined", True), (None, True), ("block", False), ("message", False)],
)
def test_a_block_or_a_fault_of_ours_never_counts_against_the_person(
    stage: Stage, bounce_class: str | None, is_counted: bool
) -> None:
    stage.drain()

    told(stage, *soft_bounces(stage, [1, 2, 3], bounce_class=bounce_class))

    assert (suppression(stage)[0] is not None) is is_counted


def test_one_message_that_bounces_ten_times_counts_once(stage: Stage) -> None:
    stage.drain()
    message = the_message(stage)

    told(
        stage,
        *[an_event("bounced", n=n, message=message, bounce_class="soft") for n in range(10)],
    )

    assert suppression(stage) == (None, None)


def test_a_rest_ends_by_itself_and_a_hard_bounce_ends_the_rest(stage: Stage) -> None:
    stage.drain()
    told(stage, *soft_bounces(stage, [1, 2, 3]))
    stage.a_receipt(order="during")
    stage.drain()
    during = stage.rows("SELECT status, reason FROM message ORDER BY id DESC LIMIT 1")
    stage.now = NOON + 3 * DAY + SOFT_REST
    stage.a_receipt(order="after")
    stage.drain()
    after = stage.rows("SELECT status, reason FROM message ORDER BY id DESC LIMIT 1")

    told(stage, an_event("bounced", n=99, message=the_message(stage), bounce_class="hard"))

    assert during == [("dropped", "suppressed: soft bounces")]
    assert after == [("sent", "")]
    assert suppression(stage) == ("hard bounce", None)


# --- texts --------------------------------------------------------------------------------------


def a_text(text: str, *, n: int, number: str = "+4915100000001") -> DeliveryEvent:
    return an_event("inbound", n=n, event_id=f"text{n}", recipient=number, text=text)


def withdrawn(stage: Stage) -> str:
    return str(stage.rows("SELECT withdrawn FROM contact WHERE channel = 'sms'")[0][0])


def test_an_answer_is_an_event_of_whoever_has_the_number(stage: Stage) -> None:
    counts = told(stage, a_text("When does it arrive?", n=1), by=SMS)
    stage.now += MINUTE
    stage.tick()

    assert counts == {"text: other": 1}
    ((name, properties),) = stage.rows(
        "SELECT name, properties FROM event WHERE name LIKE 'Message%'"
    )
    assert name == "Message Replied"
    assert '"text":"When does it arrive?"' in properties


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([("STOP", 1)], '["*"]'),
        ([("STOP", 1), ("START", 2)], "[]"),
        ([("STOP", 2), ("START", 1)], '["*"]'),  # a START of before takes nothing back
        ([("START", 1)], "[]"),
        ([("STOP", 1), ("HELP", 2)], '["*"]'),
        ([("please stop texting me", 1)], '["*"]'),
        ([("STOP", 1), ("START", 2), ("STOP", 3)], '["*"]'),
    ],
)
def test_what_a_number_wants_is_what_it_said_last(
    stage: Stage, texts: list[tuple[str, int]], expected: str
) -> None:
    for text, n in texts:
        told(stage, a_text(text, n=n), by=SMS)
        told(stage, a_text(text, n=n), by=SMS)

    assert withdrawn(stage) == expected


def test_start_does_not_take_back_what_a_link_withdrew(stage: Stage) -> None:
    key = stage.process.vault.address_hash("sms", "+4915100000001").hex()
    from engine.consent.unsubscribe import withdraw_address

    def by_link(topic: str) -> Callable[[Any], bool]:
        return lambda connection: withdraw_address(
            connection, key, channel="sms", topic=topic, now=stage.now
        )

    stage.process.write(by_link("offers"))
    told(stage, a_text("STOP", n=1), by=SMS)
    told(stage, a_text("START", n=2), by=SMS)
    after_topic = withdrawn(stage)
    told(stage, a_text("STOP", n=3), by=SMS)
    stage.process.write(by_link("*"))
    told(stage, a_text("START", n=4), by=SMS)

    assert after_topic == '["offers"]'
    assert withdrawn(stage) == '["*"]'


@pytest.mark.parametrize("number", ["4915100000001", "+4915100000001", "0049 151 0000 0001"])
def test_numbers_are_recognised_as_providers_write_them(stage: Stage, number: str) -> None:
    told(stage, a_text("STOP", n=1, number=number), by=SMS)

    assert withdrawn(stage) == '["*"]'


def test_texts_of_senders_without_a_number_are_counted_and_nothing_else(stage: Stage) -> None:
    counts = told(stage, a_text("STOP", n=1, number="BANK"), by=SMS)

    assert counts == {"text: no number": 1}


def test_hostile_text_is_kept_as_far_as_a_database_can(stage: Stage) -> None:
    told(stage, a_text("STOP\0\ud800" + "x" * 10_000, n=1), by=SMS)

    ((properties,),) = stage.rows("SELECT properties FROM event WHERE name = 'Message Replied'")
    assert len(properties) < 2_000


def test_without_the_question_whose_message_it_is_a_stranger_would_suppress_ours(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: everything that is signed is believed of every message."""
    stage.drain()
    foreign = an_event("complained", message=the_message(stage), provider_id="a stranger's")

    honest = told(stage, foreign)
    monkeypatch.setattr(
        hearing, "attributed", lambda _connection, reports, _speaker: Attributed(list(reports))
    )
    planted = told(stage, foreign)

    assert (honest, planted) == ({"foreign": 1}, {"complained": 1})
    assert suppression(stage)[0] == "complaint"
