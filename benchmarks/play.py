"""How fast the pure core plays: the reference mix of `facts/hot-path.md`, no store, no rendering.

Uniform traffic over profiles, one event a play as in a quiet tick; Product Viewed 55 %, Page 20,
Product Added 15, Checkout Started 5, Order Completed 5; 10 segments; the journey `Product Added ->
wait 30m unless Order Completed -> experiment in thirds -> e-mail` with a 10 % holdout, consent, a
cap and quiet hours. A step is an entry with its wait, an experiment, or a send.

    python -m benchmarks.play [--events N] [--profiles N]
"""

import argparse
import gc
import platform
import random
from collections import Counter
from heapq import heappop, heappush
from itertools import count
from time import process_time
from typing import NamedTuple

import msgspec

from engine.core.model import (
    DAY,
    HOUR,
    MINUTE,
    AnyOf,
    Campaign,
    Cap,
    Comparison,
    Condition,
    Contact,
    Discard,
    Duration,
    Effect,
    Entered,
    Event,
    EventCondition,
    EventMatch,
    EventTrigger,
    Exited,
    Experiment,
    ExperimentStep,
    Expose,
    Filter,
    FollowedBy,
    Ghost,
    Hold,
    Holdout,
    Not,
    Person,
    Profile,
    ProfileId,
    Program,
    QuietHours,
    Reentry,
    SegmentCondition,
    Send,
    SendMessage,
    SessionCondition,
    State,
    Step,
    Topic,
    TraitCondition,
    Variant,
    WaitFor,
    Wake,
    Window,
)
from engine.core.play import play
from engine.core.segments import for_program

START = 1_772_442_000_000_000  # 2026-03-02T09:00Z
MIX = {
    "Product Viewed": 55,
    "Page": 20,
    "Product Added": 15,
    "Checkout Started": 5,
    "Order Completed": 5,
}


def the_program() -> Program:
    def done(event: str, at_least: int, within: int | None) -> Condition:
        return EventCondition(
            EventMatch(event), (Comparison("gte", at_least),), Window(within=within)
        )

    segments: dict[str, Condition] = {
        "viewed-twice": done("Product Viewed", 2, 2 * HOUR),
        "viewed-often": done("Product Viewed", 5, 7 * DAY),
        "has-cart": done("Product Added", 1, 2 * HOUR),
        "left-cart": EventCondition(
            EventMatch("Product Added"),
            window=Window(within=DAY),
            not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
        ),
        "buyer": done("Order Completed", 1, None),
        "loyal": done("Order Completed", 3, 90 * DAY),
        "browser": SessionCondition(duration=(Comparison("gte", 2 * MINUTE),)),
        "german": TraitCondition(Filter(("country",), (Comparison("is", "DE"),))),
        "warm": AnyOf((SegmentCondition("viewed-twice"), SegmentCondition("has-cart"))),
        "lapsed": Not(done("Order Completed", 1, 45 * DAY)),
    }
    steps: list[Step] = [
        WaitFor("settle", EventMatch("Order Completed"), Duration(30 * MINUTE), on_timeout="nudge"),
        ExperimentStep("nudge", "cart-nudge", {"control": None, "soft": "soft", "hard": "hard"}),
        Send("soft", "email", "soft"),
        Send("hard", "email", "hard"),
    ]
    campaign = Campaign(
        "cart", "v1", EventTrigger(EventMatch("Product Added")), {s.id: s for s in steps},
        "settle", topic="offers", holdout=Holdout(0.1, "cart-holdout"),
        reentry=Reentry(when="after_exit"),
    )  # fmt: skip
    variants = tuple(Variant(name, 1) for name in ("control", "soft", "hard"))
    return Program(
        release=1, zone="UTC", campaigns={"cart": campaign}, segments=segments,
        experiments={("cart-nudge", 1): Experiment("cart-nudge", "cart", variants, "nudge-1")},
        phases={"cart-nudge": 1}, topics={"offers": Topic("offers")},
        caps=(Cap(3, 7 * DAY, channel="email"),), quiet_hours=QuietHours(21 * 60, 9 * 60),
    )  # fmt: skip


def some_people(n_people: int, *, rng: random.Random) -> list[Person]:
    return [
        Person(
            Profile(
                ProfileId(number), "UTC",
                traits={"country": rng.choice(("DE", "FR", "NL"))},
                consent={"email": {"offers": rng.random() < 0.9}},
                addresses={"email": Contact()},
            ),
            State(),
            is_new=True,
        )
        for number in range(n_people)
    ]  # fmt: skip


def some_events(n_events: int, n_people: int, *, rng: random.Random) -> list[tuple[int, Event]]:
    """(profile, event) in the order accepted, spread evenly over one day."""
    names = rng.choices(list(MIX), weights=list(MIX.values()), k=n_events)
    gap = DAY // n_events
    return [
        (
            rng.randrange(n_people),
            Event(seq, name, START + seq * gap, START + seq * gap, {"cart_id": f"c{seq}"}),
        )
        for seq, name in enumerate(names, start=1)
    ]


class Outcome(NamedTuple):
    seconds: float
    n_plays: int
    counted: Counter[type]


def run_play(program: Program, events: list[tuple[int, Event]], people: list[Person]) -> Outcome:
    """Play every event when it comes and every timer when it fires, one play each."""
    segments = for_program(program)
    ids = count(1)
    counted: Counter[type] = Counter()
    timers: list[tuple[int, int]] = []
    n_plays = 0

    def step(number: int, batch: tuple[Event, ...], now: int) -> None:
        person = people[number]
        effects: list[Effect] = play(
            person, batch, program=program, segments=segments, floor=now, horizon=now,
            evaluate=lambda expression, values: None, new_id=lambda kind: next(ids),
        )  # fmt: skip
        person.is_new = False
        for effect in effects:
            kind = type(effect)
            counted[kind] += 1
            if isinstance(effect, Wake):
                heappush(timers, (effect.at, number))
            elif kind is Exited:
                person.enrollments = [e for e in person.enrollments if e.status == "active"]

    # Everyone has been seen once before, so that we measure traffic and not arrivals.
    for number in range(len(people)):
        step(number, (Event(0, "Page", START, START),), START)
    counted.clear()
    started = process_time()
    for number, event in events:
        while timers and timers[0][0] <= event.accepted_at:
            due, owner = heappop(timers)
            step(owner, (), due)
            n_plays += 1
        step(number, (event,), event.accepted_at)
        n_plays += 1
    return Outcome(process_time() - started, n_plays, counted)


def run_floor(
    program: Program, events: list[tuple[int, Event]], people: list[Person]
) -> tuple[float, int]:
    """The segments alone: observe each event and ask what it touched; CPU seconds and verdicts."""
    segments = for_program(program)
    n_verdicts = 0
    started = process_time()
    for number, event in events:
        features, traits = people[number].state.features, people[number].profile.traits
        segments.observe(features, event)
        for name in segments.touched_by(event):
            segments.evaluate(name, features, traits, now=event.accepted_at)
            n_verdicts += 1
    return process_time() - started, n_verdicts


def run(n_events: int, n_people: int) -> None:
    program = the_program()
    events = some_events(n_events, n_people, rng=random.Random(7))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

    bare, n_verdicts = run_floor(program, events, some_people(n_people, rng=random.Random(8)))
    full = run_play(program, events, some_people(n_people, rng=random.Random(8)))
    silent = msgspec.structs.replace(
        program,
        campaigns={"cart": msgspec.structs.replace(program.campaigns["cart"], state="draft")},
    )
    quiet = run_play(silent, events, some_people(n_people, rng=random.Random(8)))

    counted = full.counted
    n_sends = sum(counted[kind] for kind in (SendMessage, Ghost, Hold, Discard))
    n_steps = counted[Entered] + counted[Expose] + n_sends
    n_timers = full.n_plays - n_events
    print(f"{platform.machine()}, CPython {platform.python_version()}, one thread, CPU time")
    print(
        f"{n_events:,} events, {n_timers:,} timers, {n_people:,} profiles,"
        f" {len(program.segments)} segments over {len(for_program(program).feature_keys)} features,"
        f" {n_steps / n_events:.2f} steps, {n_sends / n_events:.2f} messages,"
        f" {n_verdicts / n_events:.1f} verdicts per event"
    )
    print(f"mix: {', '.join(f'{name} {share} %' for name, share in MIX.items())}")
    print(f"floor (observe and ask the touched segments): {n_events / bare:,.0f} events/s")
    for title, outcome in (("without the journey", quiet), ("with the journey", full)):
        print(
            f"play, {title}: {n_events / outcome.seconds:,.0f} events/s,"
            f" {bare / outcome.seconds:.2f} of the floor,"
            f" {1e6 * outcome.seconds / outcome.n_plays:.1f} us per play"
        )
    print(f"play, with the journey: {n_steps / full.seconds:,.0f} steps/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    arguments = parser.parse_args()
    run(arguments.events, arguments.profiles)


if __name__ == "__main__":
    main()
