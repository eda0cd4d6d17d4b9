"""Laws of the loop, on random lives: batches change nothing, nothing happens twice."""

from collections import Counter
from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.model.campaigns import (
    Cap,
    DateTrigger,
    EventTrigger,
    Experiment,
    Holdout,
    QuietHours,
    Reentry,
    ScheduleTrigger,
    SegmentTrigger,
    TemplateFacts,
    Variant,
)
from engine.core.model.conditions import (
    AnyOf,
    Comparison,
    EventCondition,
    EventMatch,
    FollowedBy,
    Not,
    SegmentCondition,
    SessionCondition,
    Window,
)
from engine.core.model.effects import Discard, Entered, Exited, Expose, Ghost, Hold, SendMessage
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.model.people import Score
from engine.core.model.steps import (
    BestTime,
    Branch,
    Delay,
    DelayUntil,
    Duration,
    ExperimentStep,
    Expression,
    FirstPossible,
    Recommend,
    Repeat,
    Track,
    Update,
    WaitFor,
    Webhook,
)
from tests.core.build import (
    DAY_ONE,
    Theatre,
    a_campaign,
    a_person,
    a_program,
    a_send,
    an_event,
    at,
    but_wakes,
    has_done,
    only,
)

CART = a_campaign(
    "cart",
    Delay("rest", Duration(30 * MINUTE), "wait"),
    WaitFor("wait", EventMatch("Checkout Started"), Duration(6 * HOUR), "entry", "tell", "test"),
    ExperimentStep("test", "nudge", {"control": None, "mail": "mail", "text": "nine"}),
    a_send("mail", next="mark"),
    DelayUntil("nine", 9 * 60, next="text"),
    a_send("text", channel="sms", expires=8 * HOUR),
    Update("mark", {"nudged_at": Expression("now")}, next="tell"),
    Track("tell", "Nudged", {"cart": Expression("event.cart_id")}),
    trigger=EventTrigger(EventMatch("Product Added"), "properties.cart_id"),
    reentry=Reentry(when="after_gap", gap=12 * HOUR, while_active="restart"),
    holdout=Holdout(0.3, "cart"),
    exit_when=EventMatch("Order Completed"),
    programme="retention",
)
NUDGED = a_campaign(
    "thanks",
    WaitFor("wait", EventMatch("Page"), Duration(DAY), "ever", "mail", "mail"),
    a_send(topic="orders"),
    trigger="Nudged",
    reentry=Reentry(when="after_exit", while_active="parallel"),
    priority=70,
)
LEFT = a_campaign(
    "left",
    Branch("fork", ((has_done("Order Completed"), None),), "mail"),
    a_send(),
    trigger=SegmentTrigger("left-cart"),
    reentry=Reentry(when="after_exit"),
    priority=20,
    when_capped="drop",
)
BROWSING = a_campaign(
    "browsing",
    Delay("rest", Duration(HOUR), "mail"),
    a_send(),
    trigger=SegmentTrigger("warm"),
    reentry=Reentry(when="after_exit"),
    audience=SegmentCondition("warm"),
    is_continuous=True,
)
DAILY = a_campaign(
    "daily",
    a_send(),
    trigger=ScheduleTrigger("15 8 * * *", "profile"),
    audience=SegmentCondition("warm"),
    priority=10,
)
ROUNDS = a_campaign(
    "rounds",
    Repeat("daily", 3, Duration(5 * HOUR), "hour", True, EventMatch("Order Completed"), "ask"),
    BestTime("hour", 3 * HOUR, "choose", "their-hour"),
    Recommend("choose", "liked", 2, if_fewer="skip", next="hush"),
    WaitFor("hush", EventMatch("Page"), Duration(HOUR), "step", "reach", "twice"),
    Repeat("twice", 2, Duration(20 * MINUTE), "mark", False, EventMatch("Page"), "reach"),
    Track("mark", "Marked", {}, next="twice"),
    FirstPossible("reach", ("push", "note"), "daily"),
    a_send("push", channel="push", next="daily"),
    a_send("note", channel="sms", next="daily"),
    Webhook("ask", "https://shop.example/stock", save_as="reply", next="last"),
    a_send("last", topic="orders"),
    trigger="Checkout Started",
    reentry=Reentry(when="after_exit", while_active="restart"),
    holdout=Holdout(0.3, "rounds"),
)
RENEWAL = a_campaign(
    "renewal",
    Delay("rest", Duration(HOUR), "mail"),
    a_send(),
    trigger=DateTrigger(("renews_on",), 9 * 60, -1),
    audience=SegmentCondition("silent"),
    priority=15,
)
SEGMENTS = {
    "viewed": EventCondition(
        EventMatch("Product Viewed"), (Comparison("gte", 2),), Window(within=2 * HOUR)
    ),
    "left-cart": EventCondition(
        EventMatch("Product Added"),
        window=Window(within=DAY),
        not_followed_by=FollowedBy(EventMatch("Order Completed"), 40 * MINUTE),
    ),
    "browser": SessionCondition(
        duration=(Comparison("gte", 2 * MINUTE),), window=Window(within=DAY)
    ),
    "warm": AnyOf((SegmentCondition("viewed"), SegmentCondition("browser"))),
    "silent": Not(EventCondition(EventMatch("Order Completed"), window=Window(within=3 * HOUR))),
}
PROGRAM = a_program(
    CART,
    NUDGED,
    LEFT,
    BROWSING,
    DAILY,
    ROUNDS,
    RENEWAL,
    segments=SEGMENTS,
    experiments={
        ("nudge", 1): Experiment(
            "nudge", "cart", tuple(Variant(n, 1) for n in ("control", "mail", "text")), "nudge-1"
        )
    },
    phases={"nudge": 1},
    caps=(Cap(2, DAY), Cap(1, 4 * HOUR, channel="email")),
    quiet_hours=QuietHours(22 * 60, 7 * 60),
    templates={("email", "hello"): TemplateFacts("h1", shows=("picks",))},
    explored={"their-hour": 0.5},
    global_holdout=Holdout(0.1, "global"),
    programme_holdouts={"retention": Holdout(0.1, "programme")},
)


def picked(ask):
    """As many picks as the hour has quarters left: sometimes enough, and never twice alike."""
    return [{"id": f"{ask.profile_id}/{ask.at}"}] * (ask.at // (15 * MINUTE) % 4)


THEATRE = Theatre(PROGRAM, pick=picked)


def a_shopper(number, **changes):
    """Someone, and of every other one the hour at which they act."""
    person = a_person(number, **changes)
    if number % 2:
        person.profile.scores["their-hour"] = Score(0.5, label=f"{number % 24:02d}", run=1)
    return person


NAMES = ["Product Viewed", "Page", "Product Added", "Checkout Started", "Order Completed"]

lives = st.lists(
    st.tuples(st.integers(1, 5 * HOUR), st.sampled_from(NAMES), st.integers(1, 2)),
    min_size=1,
    max_size=25,
)
people = st.integers(1, 60)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])


def events_of(life):
    """Events at growing, distinct instants; seq counts them."""
    now, events = at(DAY_ONE), []
    for seq, (gap, name, cart) in enumerate(life, start=1):
        now += gap
        traits = {"renews_on": f"2026-03-0{2 + seq % 4}"} if name == "Page" else {}
        events.append(an_event(name, now, seq=seq, traits=traits, cart_id=f"c{cart}"))
    return events


def live(person, events, cuts):
    """Play a life, committed in batches that end at the cuts; the last two days after."""
    THEATRE.restart()
    effects, floor = [], 0
    for cut in [*sorted(cuts), events[-1].accepted_at + 2 * DAY]:
        batch = [event for event in events if floor < event.accepted_at <= cut]
        effects += THEATRE.play(person, *batch, until=cut, floor=floor)
        floor = cut
    person.state.armed_at = 0  # When the one timer is armed does depend on the batches.
    return effects


@settings(max_examples=150, deadline=None)
@given(
    life=lives,
    number=people,
    zone=zones,
    cuts=st.lists(st.integers(0, 60 * HOUR), max_size=12),
)
def test_cutting_a_life_into_batches_changes_nothing(life, number, zone, cuts):
    events = events_of(life)
    whole, pieces = a_shopper(number, zone=zone), a_shopper(number, zone=zone)

    at_once = live(whole, events, [])
    # Nobody is played before their first event: until then the profile does not exist.
    start, end = events[0].accepted_at, events[-1].accepted_at + 2 * DAY
    bit_by_bit = live(pieces, events, {min(start + cut, end) for cut in cuts})

    assert but_wakes(bit_by_bit) == but_wakes(at_once)
    assert pieces == whole


@settings(max_examples=50, deadline=None)
@given(life=lives, number=people)
def test_one_commit_for_each_event_changes_nothing(life, number):
    events = events_of(life)
    whole, pieces = a_shopper(number), a_shopper(number)

    at_once = live(whole, events, [])
    one_by_one = live(pieces, events, [event.accepted_at for event in events])

    assert but_wakes(one_by_one) == but_wakes(at_once)
    assert pieces == whole


@settings(max_examples=50, deadline=None)
@given(life=lives, number=people)
def test_playing_only_when_the_timer_says_so_misses_nothing(life, number):
    events = events_of(life)
    whole, woken = a_shopper(number), a_shopper(number)
    end = events[-1].accepted_at + 2 * DAY

    at_once = live(whole, events, [])
    THEATRE.restart()
    effects, waiting, now = [], list(events), 0
    while waiting or woken.state.armed_at <= end:
        if waiting and waiting[0].accepted_at <= woken.state.armed_at:
            event = waiting.pop(0)
            effects += THEATRE.play(woken, event, floor=now)
            now = event.accepted_at
        else:
            armed_at = woken.state.armed_at
            effects += THEATRE.play(woken, until=armed_at, floor=armed_at)
            now = armed_at
    woken.state.armed_at = 0

    assert but_wakes(effects) == but_wakes(at_once)
    assert woken == whole


@settings(max_examples=50, deadline=None)
@given(life=lives, number=people)
def test_a_replay_gives_the_same_effects(life, number):
    events = events_of(life)
    person = a_shopper(number)
    twin = deepcopy(person)

    assert live(person, events, []) == live(twin, events, [])
    assert person == twin


@settings(max_examples=100, deadline=None)
@given(life=lives, number=people)
def test_nothing_happens_twice_and_every_row_has_its_enrollment(life, number):
    person = a_shopper(number)

    effects = live(person, events_of(life), [])

    rows = [row for row in only(effects, SendMessage, Ghost, Discard) if row.step]
    entered = {effect.enrollment for effect in only(effects, Entered)}
    exited = Counter(effect.enrollment for effect in only(effects, Exited))
    assert max(Counter(e.experiment for e in only(effects, Expose)).values(), default=1) == 1
    assert max(Counter((r.enrollment, r.step, r.visit) for r in rows).values(), default=1) == 1
    assert max(Counter(row.message for row in rows).values(), default=1) == 1
    assert {row.enrollment for row in rows} | set(exited) <= entered
    assert set(exited.values()) <= {1}
    assert entered - set(exited) == {each.id for each in person.enrollments}
    n_visits = {name: len(each.steps) for name, each in PROGRAM.campaigns.items()}
    n_visits["rounds"] = 3 + 3 * (5 + 3 + 2)  # the inner repeat is met three times a round
    assert all(each.visit <= n_visits[each.campaign] for each in person.enrollments)


@settings(max_examples=100, deadline=None)
@given(life=lives, number=people)
def test_time_never_runs_backwards_and_no_gate_is_passed_in_vain(life, number):
    person = a_shopper(number)

    effects = live(person, events_of(life), [])

    instants = [effect.at for effect in but_wakes(effects)]
    assert instants == sorted(instants)
    assert all(hold.until > hold.at for hold in only(effects, Hold))
    marketing = [m.at for m in only(effects, SendMessage) if m.draft.topic.name == "offers"]
    assert all(later - one >= DAY for one, later in zip(marketing, marketing[2:], strict=False))
    hours = [instant % DAY // HOUR for instant in marketing]
    assert all(7 <= hour < 22 for hour in hours)
