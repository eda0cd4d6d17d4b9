"""The laws of conditions about the person: a life is played with its timers, and at every instant
looked at the memberships are those that an oracle finds in all that was told.

Instants are minutes and hours around clock changes, since days and local hours are what is tested.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.features.kinds import Features
from engine.core.model.campaigns import MemberList, SegmentTrigger
from engine.core.model.conditions import (
    All,
    AnyOf,
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    Filter,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    Not,
    SampleCondition,
    ScoreCondition,
    SegmentCondition,
    TraitCondition,
)
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.model.people import Contact, Event, Score
from engine.core.segments import compile_segments
from tests.core.build import a_campaign, a_person, a_theatre, at
from tests.core.person_oracle import Told, holds_of

BEGIN = at("2026-03-27T12:00Z")
"""Berlin's clocks go forward on the 29th; Lord Howe's go back, by half an hour, on 5 April."""
SPAN = 10 * DAY
ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "UTC")
PLACES = ((52.52, 13.405), (48.137, 11.575), (-33.87, 151.21), (0.0, -179.9))
LISTS = {
    "people": MemberList((), frozenset({"u1", "u3"})),
    "plans": MemberList(("plan",), frozenset({"pro"})),
}

zones = st.sampled_from(ZONES)
words = st.sampled_from(["a", "b"])
spans = st.sampled_from([3 * HOUR, DAY, 4 * DAY])
is_word = st.builds(Comparison, st.sampled_from(["is", "is_not"]), words) | st.builds(
    Comparison, st.just("exists"), st.booleans()
)
at_least = st.builds(Comparison, st.just("gte"), st.sampled_from([0.25, 0.5, 0.75]))
any_number = at_least | st.builds(Comparison, st.just("is_not"), st.just(0.5))
leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(
        ConsentCondition,
        st.just("email"),
        st.just("offers"),
        st.sampled_from(["granted", "refused", "unknown"]),
    ),
    st.builds(SampleCondition, st.sampled_from([10.0, 50.0, 90.0]), words),
    st.builds(ListCondition, st.sampled_from(list(LISTS))),
    st.builds(
        LocalTimeCondition,
        st.sampled_from([0, 120, 150, 1080]),
        st.sampled_from([30, 135, 180, 1320]),
        st.lists(st.integers(0, 6), min_size=1, unique=True).map(tuple),
        st.sampled_from(["profile", "Europe/Berlin"]),
    ),
    st.builds(
        lambda name, test, within: LatestCondition("device", (Filter((name,), (test,)),), within),
        st.sampled_from(["type", "os"]),
        is_word,
        st.none() | spans,
    ),
    st.builds(
        lambda place, km, within: NearCondition(place[0], place[1], km, within),
        st.sampled_from(PLACES),
        st.sampled_from([1.0, 700.0]),
        st.none() | spans,
    ),
    st.builds(lambda test: ScoreCondition("churn", (test,)), any_number),
    st.builds(lambda test: ScoreCondition("churn", (), (test,)), any_number),
    st.builds(lambda test, sure: ClusterCondition("kinds", (test,), sure), is_word,
              st.just(()) | st.tuples(at_least)),
    st.builds(
        lambda operator, span: TraitCondition(Filter(("born",), (Comparison(operator, span),))),
        st.sampled_from(["anniversary_within", "within_last", "within_next"]),
        spans,
    ),
)  # fmt: skip


def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    groups = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(All, groups) | st.builds(AnyOf, groups)


conditions = st.recursive(leaves, nested, max_leaves=5)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": st.fixed_dictionaries({}, optional={"type": words, "os": words}),
        "location": st.sampled_from(PLACES).map(
            lambda place: {"latitude": place[0], "longitude": place[1]}
        )
        | st.just({"country": "DE"}),
    },
)
brought: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "consent": st.booleans().map(lambda granted: {"email": {"offers": granted}}),
        "addresses": st.sampled_from(
            [{"email": Contact()}, {"email": Contact(withdrawn=frozenset({"*"}))}, {"email": None}]
        ),
        "zone": zones,
        "traits": st.sampled_from(
            [{"plan": "pro"}, {"plan": "free"}, {"born": "1990-03-30"}, {"born": "2026-03-30"}]
        ),
        "context": contexts,
    },
)
scored = st.sampled_from([0.1, 0.5, 0.9]).map(
    lambda value: {
        "churn": Score(value, value, "", round(value * 10)),
        "kinds": Score(value, 0.0, "a" if value > 0.4 else "b", round(value * 10)),
    }
)
news: st.SearchStrategy[Any] = st.just(({}, "u1")) | st.tuples(
    scored | st.just({}), st.sampled_from(["u1", "u2"])
)


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[int, Any]]:
    """(instant, event or news) in the order in which the engine is told; some events are late."""
    moments = sorted(draw(st.lists(st.integers(0, SPAN // MINUTE), max_size=8)))
    life: list[tuple[int, Any]] = []
    for seq, moment in enumerate(moments, start=1):
        now = BEGIN + moment * MINUTE
        if draw(st.integers(0, 3)) == 0:
            life.append((now, draw(news)))
            continue
        late = draw(st.sampled_from([0, 0, 0, -2 * HOUR, HOUR, 5 * DAY]))
        life.append((now, Event(seq, "Seen", now - late, now, **draw(brought))))
    return life


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, conditions, lives(), zones, st.lists(st.integers(0, SPAN), max_size=12))
def test_memberships_equal_the_oracle_at_any_instant_whatever_brought_the_change(
    first: Condition, second: Condition, life: list[Any], zone: str, looks: list[int]
) -> None:
    segments = {"first": first, "second": All((SegmentCondition("first"), Not(second)))}
    theatre = a_theatre(
        # Somebody follows both, so that time alone must move people too.
        a_campaign("one", trigger=SegmentTrigger("first")),
        a_campaign("two", trigger=SegmentTrigger("second")),
        segments=segments,
        lists=LISTS,
    )
    oracles = {"first": first, "second": All((first, Not(second)))}
    person = a_person(7, zone=zone, channels=(), is_new=False)
    person.profile.external_id = "u1"
    told = Told(7, zone)
    theatre.play(person, until=BEGIN, floor=BEGIN)
    instants = [*life, *((BEGIN + look, None) for look in looks), (BEGIN + SPAN, None)]

    for now, happening in sorted(instants, key=lambda each: each[0]):
        if isinstance(happening, Event):
            told.events.append(happening)
            theatre.play(person, happening, until=now, floor=BEGIN)
        elif happening is None:
            theatre.play(person, until=now, floor=BEGIN)
        else:
            theatre.play(person, until=now, floor=BEGIN)
            told.scores, told.external_id = happening
            person.profile.scores, person.profile.external_id = happening
            theatre.play(person, until=now, floor=now)
        inside = {name: each.matches for name, each in person.state.memberships.items()}
        assert inside == {
            name: holds_of(condition, told, LISTS, now) for name, condition in oracles.items()
        }, now


def observed(events: list[Event]) -> tuple[Features, Any]:
    segments = compile_segments(
        {
            "device": LatestCondition("device", (Filter(("type",), (Comparison("is", "a"),)),)),
            "near": NearCondition(52.5, 13.4, 50),
        },
        session_gap=1,
    )
    features: Features = {}
    for event in events:
        segments.observe(features, event)
    return features, segments


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), contexts), max_size=7), st.randoms())
def test_the_latest_context_is_the_same_in_whatever_order_and_however_often_events_come(
    drafts: list[tuple[int, Any]], rng: Any
) -> None:
    events = [Event(n, "Seen", when, 20, {}, context) for n, (when, context) in enumerate(drafts)]
    shuffled = [*events, *events[:2]]
    rng.shuffle(shuffled)

    straight, _ = observed(events)
    mixed, _ = observed(shuffled)

    assert straight == mixed


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), contexts, st.booleans()), max_size=7))
def test_two_profiles_that_become_one_know_what_either_knew_last(
    drafts: list[tuple[int, Any, bool]],
) -> None:
    events = [
        Event(n, "Seen", when, 20, {}, context) for n, (when, context, _) in enumerate(drafts)
    ]
    left, segments = observed(
        [each for each, draft in zip(events, drafts, strict=True) if draft[2]]
    )
    right, _ = observed([each for each, draft in zip(events, drafts, strict=True) if not draft[2]])
    whole, _ = observed(events)
    profile = a_person().profile

    merged = segments.merge(left, right)

    for name in segments.names:
        answer = segments.evaluate(name, merged, profile, now=20)
        assert answer == segments.evaluate(name, whole, profile, now=20)
