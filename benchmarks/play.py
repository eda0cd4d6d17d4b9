"""How fast the pure core plays: the reference mix of `facts/hot-path.md`, no store, no rendering.

Uniform traffic over profiles in ticks of 500 events; Product Viewed 55 %, Page 20,
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
from typing import Any, NamedTuple

import msgspec
from msgspec.msgpack import Decoder, Encoder

from engine.core.model.campaigns import (
    Campaign,
    Cap,
    EventTrigger,
    Experiment,
    Holdout,
    Program,
    QuietHours,
    Reentry,
    Topic,
    Variant,
)
from engine.core.model.conditions import (
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    Not,
    SegmentCondition,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.effects import (
    Discard,
    Effect,
    Entered,
    Expose,
    Ghost,
    Hold,
    SendMessage,
    Wake,
)
from engine.core.model.instants import DAY, HOUR, MINUTE, ProfileId
from engine.core.model.people import Contact, Event, Person, Profile, State
from engine.core.model.steps import Duration, ExperimentStep, Send, Step, WaitFor
from engine.core.play import play
from engine.core.segments import for_program

BATCH = 500
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
    """Ticks of BATCH events and the timers due meanwhile; only the plays themselves are timed.

    People are decoded for each tick as the store would, and encoded after it: profiles that have
    not been touched for long would otherwise measure the processor's cache.
    """
    segments = for_program(program)
    ids = count(1)
    decoder, encode = Decoder(Person), Encoder().encode
    stored: list[bytes] = []
    counted: Counter[type] = Counter()
    timers: list[tuple[int, int]] = []
    seconds, n_plays = 0.0, 0

    def tick(batch: dict[int, list[Event]], floor: int, now: int) -> None:
        nonlocal seconds, n_plays
        loaded = [(number, decoder.decode(stored[number]), batch[number]) for number in batch]
        started = process_time()
        played: list[list[Effect]] = [
            play(
                person, its_events, program=program, segments=segments, floor=floor, horizon=now,
                evaluate=lambda expression, values: None, new_id=lambda kind: next(ids),
            )
            for _, person, its_events in loaded
        ]  # fmt: skip
        seconds += process_time() - started
        n_plays += len(loaded)
        for (number, person, _), effects in zip(loaded, played, strict=True):
            person.is_new = False
            person.enrollments = [each for each in person.enrollments if each.status == "active"]
            stored[number] = encode(person)
            counted.update(type(effect) for effect in effects)
            if effects and isinstance(effects[-1], Wake):
                heappush(timers, (effects[-1].at, number))

    # Everyone has been seen once before, so that we measure traffic and not arrivals.
    stored += [encode(person) for person in people]
    first = Event(0, "Page", START, START)
    tick({number: [first] for number in range(len(people))}, START, START)
    counted.clear()
    seconds, n_plays, floor = 0.0, 0, START
    for start in range(0, len(events), BATCH):
        batch: dict[int, list[Event]] = {}
        for number, event in events[start : start + BATCH]:
            batch.setdefault(number, []).append(event)
        now = events[min(start + BATCH, len(events)) - 1][1].accepted_at
        while timers and timers[0][0] <= now:
            batch.setdefault(heappop(timers)[1], [])
        tick(batch, floor, now)
        floor = now
    return Outcome(seconds, n_plays, counted)


def run_floor(
    program: Program, events: list[tuple[int, Event]], people: list[Person]
) -> tuple[float, int]:
    """The segments alone: observe each event and ask what it touched; CPU seconds and verdicts."""
    segments = for_program(program)
    n_verdicts, seconds = 0, 0.0
    decoder = Decoder(dict[str, Any])
    features = dict.fromkeys(range(len(people)), b"\x80")
    for start in range(0, len(events), BATCH):
        batch = events[start : start + BATCH]
        loaded = {number: decoder.decode(features[number]) for number, _ in batch}
        started = process_time()
        for number, event in batch:
            state, profile = loaded[number], people[number].profile
            segments.observe(state, event)
            for name in segments.touched_by(event):
                segments.evaluate(name, state, profile, now=event.accepted_at)
                n_verdicts += 1
        seconds += process_time() - started
        features.update((number, msgspec.msgpack.encode(state)) for number, state in loaded.items())
    return seconds, n_verdicts


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
    print(f"{platform.machine()}, CPython {platform.python_version()}, one thread, CPU time")
    print(
        f"{n_events:,} events, {full.n_plays:,} plays, {n_people:,} profiles,"
        f" {len(program.segments)} segments over {for_program(program).n_features} features,"
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
