"""Rule 6: people finish on their version unless a move leads them on; operators may end it."""

import msgspec
import pytest

from engine.core.model.campaigns import Campaign, Cap, Move, QuietHours, Unenrolment
from engine.core.model.conditions import EventMatch
from engine.core.model.effects import Discard, Exited, Moved, SendMessage
from engine.core.model.instants import DAY, HOUR, MINUTE, NEVER
from engine.core.model.people import Person
from engine.core.model.steps import Delay, DelayUntil, Duration, Repeat, WaitFor, Webhook
from tests.core.build import Theatre, a_campaign, a_person, a_program, a_send, an_event, at, only

NOON = "2026-03-02T12:00Z"
OLD = a_campaign(
    "cart",
    Delay("settle", Duration(30 * MINUTE), "wait"),
    WaitFor("wait", EventMatch("Viewed"), Duration(DAY), then="mail", on_timeout=None),
    a_send("mail"),
    version="v1",
)


def newer(*steps, version="v2", **changes) -> Campaign:
    return a_campaign("cart", *steps, version=version, **changes)


def theatre_of(applied: Campaign, *moves: Move, release=2, older=(OLD,), **changes) -> Theatre:
    pinned = {(it.name, it.version): it for it in older}
    return Theatre(a_program(applied, release=release, pinned=pinned, moves=moves, **changes))


def inside(*, release=1, event="Product Added", when=NOON) -> Person:
    """Someone who came in at noon on the old version and stands at `settle`."""
    person = a_person(1)
    Theatre(a_program(OLD, release=release)).play(person, an_event(event, when))
    return person


def one(person: Person):
    (enrollment,) = person.enrollments
    return enrollment


def a_move(to="v2", *, release=2, origin="any", **steps: str) -> Move:
    return Move(release, "cart", to, origin, steps)


def test_rule_6_people_finish_on_their_version_unless_told_otherwise():
    person = inside()
    theatre = theatre_of(newer(Delay("settle", Duration(DAY), None)))

    theatre.play(person, until="2026-03-02T12:31Z", floor="2026-03-02T12:10Z")

    assert (one(person).version, one(person).step) == ("v1", "wait")


def test_rule_6_a_migrated_delay_keeps_its_start_and_takes_the_new_length():
    person = inside()
    theatre = theatre_of(newer(Delay("settle", Duration(2 * HOUR), None)), a_move())

    effects = theatre.play(person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z")

    assert one(person).version == "v2"
    assert one(person).step_at == at(NOON)
    assert one(person).due_at == at("2026-03-02T14:00Z")
    (moved,) = only(effects, Moved)
    assert (moved.origin, moved.version, moved.step) == ("v1", "v2", "settle")


def test_rule_6_a_migrated_delay_whose_new_length_is_past_is_due_now():
    person = inside()
    theatre = theatre_of(newer(Delay("settle", Duration(MINUTE), "mail"), a_send("mail")), a_move())

    effects = theatre.play(person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z")

    assert [it.at for it in only(effects, SendMessage)] == [at("2026-03-02T12:10Z")]


def test_rule_6_a_wait_until_a_wall_time_counts_from_its_start():
    person = inside()
    morning = DelayUntil("settle", 9 * 60, zone="UTC")
    theatre = theatre_of(newer(morning), a_move(settle="settle"))

    theatre.play(person, until="2026-03-04T08:00Z", floor="2026-03-04T08:00Z")

    assert person.enrollments == [], "nine o'clock of the next day is past: due at once"


def test_rule_6_a_mapped_step_goes_on_under_its_new_name():
    person = inside()
    theatre = theatre_of(newer(Delay("calm", Duration(HOUR), None)), a_move(settle="calm"))

    theatre.play(person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z")

    assert (one(person).step, one(person).due_at) == ("calm", at("2026-03-02T13:00Z"))


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((Delay("calm", Duration(HOUR), None),), id="gone"),
        pytest.param((a_send("settle"),), id="another kind"),
    ],
)
def test_rule_6_who_stands_at_a_step_that_leads_nowhere_finishes_on_their_version(steps):
    person = inside()
    theatre = theatre_of(newer(*steps), a_move())

    theatre.play(person, until="2026-03-02T12:31Z", floor="2026-03-02T12:10Z")

    assert (one(person).version, one(person).step) == ("v1", "wait")


@pytest.mark.parametrize(("minutes", "is_moved"), [(30, True), (45, False)])
def test_rule_6_a_step_without_a_name_is_the_same_only_if_it_says_the_same(minutes, is_moved):
    old = a_campaign("cart", Delay("0", Duration(30 * MINUTE), None))
    person = a_person(1)
    Theatre(a_program(old)).play(person, an_event("Product Added", NOON))
    new = newer(Delay("0", Duration(minutes * MINUTE), "mail"), a_send("mail"))

    theatre_of(new, a_move(), older=(old,)).play(person, until=NOON, floor=NOON)

    assert (one(person).version == "v2") is is_moved


def test_rule_6_a_move_from_one_version_leaves_the_others():
    person = inside()
    new = newer(Delay("settle", Duration(DAY), None), version="v3")

    theatre_of(new, a_move("v3", origin="v2")).play(person, until=NOON, floor=NOON)

    assert one(person).version == "v1"


def test_rule_6_who_missed_a_release_makes_its_move_and_the_next():
    person = inside()
    second = newer(Delay("calm", Duration(HOUR), None))
    third = newer(Delay("rest", Duration(2 * HOUR), None), version="v3")
    moves = (
        a_move("v2", release=2, settle="calm"),
        a_move("v3", release=3, origin="v2", calm="rest"),
    )

    theatre = theatre_of(third, *moves, release=3, older=(OLD, second))
    effects = theatre.play(person, until=NOON, floor=NOON)

    assert (one(person).version, one(person).step) == ("v3", "rest")
    assert one(person).due_at == at("2026-03-02T14:00Z")
    assert len(only(effects, Moved)) == 2


def test_rule_6_a_move_is_made_once_and_met_again_changes_nothing():
    person = inside()
    theatre = theatre_of(newer(Delay("settle", Duration(2 * HOUR), None)), a_move())
    theatre.play(person, until=NOON, floor=NOON)
    before = msgspec.msgpack.encode(person)

    effects = theatre.play(person, until="2026-03-02T12:20Z", floor="2026-03-02T12:20Z")

    assert only(effects, Moved) == []
    assert msgspec.msgpack.encode(person) == before


def test_rule_6_who_comes_back_to_a_version_does_not_go_round_by_another():
    """v1, then v2 with a move, then v1 again with a move: who is on v1 is where they should be."""
    person = inside()
    second = newer(Delay("calm", Duration(HOUR), None))
    moves = (a_move("v2", release=2, settle="calm"), a_move("v1", release=3))

    theatre = theatre_of(OLD, *moves, release=3, older=(second,))
    effects = theatre.play(person, until=NOON, floor=NOON)

    assert (one(person).version, one(person).step) == ("v1", "settle")
    assert only(effects, Moved) == []


def test_rule_6_a_move_that_went_live_twice_with_a_rollback_between_is_followed_once():
    """Asleep meanwhile: the map would lead on from where it has just led."""
    person = inside()
    new = newer(Delay("rest", Duration(HOUR), "sleep"), Delay("sleep", Duration(DAY)))
    steps = {"settle": "rest", "rest": "sleep"}
    moves = tuple(Move(release, "cart", "v2", steps=steps) for release in (2, 4))

    effects = theatre_of(new, *moves, release=4).play(person, until="2026-03-02T12:10Z")

    assert [(it.version, it.step) for it in only(effects, Moved)] == [("v2", "rest")]
    assert one(person).step == "rest"


def test_rule_6_an_event_of_the_same_batch_meets_the_person_where_they_were_moved_to():
    person = inside()
    new = newer(WaitFor("settle", EventMatch("Viewed"), Duration(DAY), then="mail"), a_send("mail"))

    effects = theatre_of(new, a_move(settle="settle")).play(
        person, an_event("Viewed", "2026-03-02T12:05Z")
    )

    assert len(only(effects, SendMessage)) == 1


def test_rule_6_what_came_since_the_step_began_ends_a_wait_that_only_the_new_version_has():
    person = inside()
    new = newer(WaitFor("settle", EventMatch("Viewed"), Duration(DAY), then="mail"), a_send("mail"))
    theatre = theatre_of(new, a_move(settle="settle"))
    # The features of the new wait, built from history before the release is met.
    theatre.segments.observe(person.state.features, an_event("Viewed", "2026-03-02T12:05Z"))

    effects = theatre.play(person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z")

    assert len(only(effects, SendMessage)) == 1


def test_rule_6_what_was_heard_for_a_later_wait_stays_heard_under_its_new_name():
    old = a_campaign(
        "cart",
        Delay("settle", Duration(HOUR), "bought"),
        WaitFor(
            "bought", EventMatch("Paid"), Duration(DAY), counting_from="entry", then=None,
            on_timeout="mail",
        ),
        a_send("mail"),
    )  # fmt: skip
    paid = WaitFor(
        "paid", EventMatch("Paid"), Duration(DAY), counting_from="entry", then=None,
        on_timeout="mail",
    )  # fmt: skip
    new = newer(Delay("settle", Duration(HOUR), "paid"), paid, a_send("mail"))
    person = a_person(1)
    Theatre(a_program(old)).play(
        person, an_event("Product Added", NOON), an_event("Paid", "2026-03-02T12:05Z")
    )
    person.state.features.clear()  # so that only what was heard can tell

    theatre = theatre_of(new, a_move(bought="paid"), older=(old,))
    effects = theatre.play(person, until="2026-03-02T13:00Z", floor="2026-03-02T12:10Z")

    assert [it.why for it in only(effects, Exited)] == ["finished"]
    assert only(effects, SendMessage) == []


def test_rule_6_a_deferred_message_moves_with_its_step_and_is_discarded_where_none_is():
    caps = {"caps": (Cap(1, DAY),), "quiet_hours": QuietHours(0, 23 * 60)}
    old = a_campaign("cart", a_send("mail"))
    people = [a_person(1), a_person(2)]
    for person in people:
        Theatre(a_program(old, **caps)).play(person, an_event("Product Added", NOON))
    held, dropped = people
    assert one(held).message is not None

    theatre_of(newer(a_send("letter")), a_move(mail="letter"), older=(old,), **caps).play(
        held, until=NOON, floor=NOON
    )
    effects = theatre_of(
        newer(Delay("calm", Duration(DAY), None)), a_move(mail="calm"), older=(old,), **caps
    ).play(dropped, until=NOON, floor=NOON)

    assert (one(held).step, one(held).message) == ("letter", 2)
    assert one(held).due_at == at("2026-03-02T23:00Z")
    assert [it.why for it in only(effects, Discard)] == ['moved to step "calm" of a newer version']
    assert (one(dropped).message, one(dropped).due_at) == (None, at("2026-03-03T12:00Z"))


def test_rule_6_rounds_that_were_begun_count_in_the_new_version_and_take_its_pace():
    def letters(name: str, every: int, **changes):
        again = Repeat(name, 3, Duration(every), body="mail")
        return a_campaign("cart", again, a_send("mail", next=name), **changes)

    old = letters("again", DAY)
    person = a_person(1)
    Theatre(a_program(old)).play(person, an_event("Product Added", NOON))
    new = letters("weekly", 2 * DAY, version="v2")

    effects = theatre_of(new, a_move(again="weekly"), older=(old,)).play(
        person, until="2026-03-20T12:00Z", floor="2026-03-02T13:00Z"
    )

    assert [it.at for it in only(effects, SendMessage)] == [
        at("2026-03-04T12:00Z"), at("2026-03-06T12:00Z"),
    ], "the first of three was sent by the old version"  # fmt: skip


def test_rule_6_a_webhook_that_was_asked_is_answered_in_the_new_version():
    def calling(name: str, **changes):
        ask = Webhook(name, "https://shop.example/hook", save_as="reply", next="settle")
        return a_campaign("cart", ask, Delay("settle", Duration(DAY), None), **changes)

    old = calling("ask")
    person = a_person(1)
    Theatre(a_program(old)).play(person, an_event("Product Added", NOON))
    call = one(person).message

    theatre = theatre_of(calling("call", version="v2"), a_move(ask="call"), older=(old,))
    effects = theatre.play(person, until="2026-03-02T12:00:01Z", floor=NOON)

    assert call is not None
    assert (one(person).step, one(person).message, one(person).version) == ("call", call, "v2")
    assert only(effects, Discard) == []


def test_rule_6_who_is_moved_while_paused_holds_there():
    person = inside()
    new = newer(Delay("settle", Duration(MINUTE), "mail"), a_send("mail"), state="paused")

    effects = theatre_of(new, a_move()).play(
        person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z"
    )

    assert one(person).version == "v2"
    assert only(effects, SendMessage) == []


def test_rule_6_a_step_that_nobody_waits_in_is_reached_at_once():
    person = inside()
    new = newer(a_send("mail"))

    effects = theatre_of(new, a_move(settle="mail")).play(
        person, until="2026-03-02T12:10Z", floor="2026-03-02T12:10Z"
    )

    (message,) = only(effects, SendMessage)
    assert (message.step, message.at) == ("mail", at("2026-03-02T12:10Z"))


# --- an operator ends it --------------------------------------------------------------------------


def unenrolled(person: Person, order: Unenrolment, release=2):
    theatre = theatre_of(OLD, release=release, older=(), unenrolments=(order,))
    return only(theatre.play(person, until=NOON, floor=NOON), Exited)


def test_an_unenrolment_ends_it_for_everyone_inside_with_its_reason():
    person = inside()

    (exited,) = unenrolled(person, Unenrolment(2, "cart", why="wrong price"))

    assert exited.why == "unenrolled: wrong price"
    assert person.enrollments == []


@pytest.mark.parametrize(
    "order",
    [
        Unenrolment(2, "cart", step="wait"),
        Unenrolment(2, "cart", only=(99,)),
        Unenrolment(2, "other"),
        Unenrolment(1, "cart"),
    ],
    ids=["another step", "someone else", "another campaign", "met already"],
)
def test_an_unenrolment_leaves_whom_it_does_not_concern(order):
    person = inside()

    assert unenrolled(person, order) == []
    assert one(person).status == "active"


def test_an_unenrolment_concerns_whoever_stands_at_the_step():
    person = inside()

    assert len(unenrolled(person, Unenrolment(2, "cart", step="settle", only=(1,)))) == 1


def test_a_draining_campaign_lets_nobody_in_and_those_inside_finish():
    person, late = inside(), a_person(2)
    theatre = theatre_of(msgspec.structs.replace(OLD, state="draining"), older=())

    theatre.play(late, an_event("Product Added", NOON))
    theatre.play(person, until="2026-03-02T12:31Z", floor="2026-03-02T12:10Z")

    assert late.enrollments == []
    assert one(person).step == "wait"
    assert person.state.armed_at < NEVER


def test_a_removed_campaign_that_was_paused_still_holds_its_people():
    person = inside()
    removed = msgspec.structs.replace(OLD, state="paused")
    program = a_program(release=2, pinned={("cart", "v1"): removed})

    Theatre(program).play(person, until="2026-03-03T12:00Z", floor=NOON)

    assert one(person).step == "settle"
