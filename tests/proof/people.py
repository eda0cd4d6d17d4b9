"""Random people for the proof: facts and events of every shape, delivered late, early and twice."""

import random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.core.clocktime import iso
from engine.core.model.campaigns import MemberList
from engine.core.model.instants import ProfileId
from engine.core.model.people import Contact, Event, Profile, Score
from tests.proof.conditions import (
    LABELS,
    LAST,
    LATENESS_MAX,
    MODELS,
    NAMES,
    SCALARS,
    ZONES,
    Scale,
)

LISTS = {
    "ids": MemberList((), frozenset({"u1", "u4", "u7"})),
    "plain": MemberList(("plain",), frozenset({"1", "x", "1.5", "true"})),
    "nested": MemberList(("nested", "p"), frozenset({"2", "é"})),
}


class Someone(Struct):
    """A profile before its first event, and its events in the order they were accepted."""

    profile: Profile
    events: list[Event]


def a_crowd(rng: random.Random, scale: Scale, *, n_people: int = 8) -> list[Someone]:
    """People with up to 16 events each; `seq` runs on over all of them."""
    people = []
    seq = 0
    for number in range(1, n_people + 1):
        events = [replace(event, seq=(seq := seq + 1)) for event in deliveries(rng, scale)]
        people.append(Someone(a_profile(rng, number), events))
    return people


def a_profile(rng: random.Random, number: int) -> Profile:
    withdrawn = rng.choice([[], [], [], ["offers"], ["*"], ["news"]])
    profile = Profile(
        ProfileId(number), rng.choice(ZONES), external_id=rng.choice([f"u{number}"] * 4 + [""])
    )
    if rng.random() < 0.6:
        profile.addresses["email"] = Contact(None, frozenset(withdrawn))
    for model in MODELS:
        if rng.random() < 0.7:
            profile.scores[model] = Score(
                rng.choice([0.1, 0.25, 0.5, 0.8]), rng.choice([0, 25, 50.0, 95]), rng.choice(LABELS)
            )
    return profile


def deliveries(rng: random.Random, scale: Scale) -> list[Event]:
    """Events in the order they are accepted: some late, some dated in the future, ties galore."""
    events = []
    for _ in range(rng.randrange(17)):
        step = rng.randint(0, LAST)
        late = rng.choice([0, 0, 0, rng.randint(-15, LATENESS_MAX)])
        events.append(
            Event(
                0,
                rng.choice([*NAMES, "Message Sent"] if rng.random() < 0.1 else NAMES),
                scale.at(step),
                scale.at(max(0, step + late)),
                _properties(rng, scale),
                _context(rng),
                _traits(rng, scale),
                consent=_consent(rng),
            )
        )
    return sorted(events, key=lambda event: event.accepted_at)


def _properties(rng: random.Random, scale: Scale) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.8:
        found["v"] = _value(rng)
    if rng.random() < 0.4:
        found["o"] = rng.choice([None, 1, {}, {"p": _value(rng)}])
    if rng.random() < 0.5:
        found["list"] = _elements(rng)
    if rng.random() < 0.2:
        found["deep"] = [rng.choice([1, {"list": _elements(rng)}]) for _ in range(rng.randrange(3))]
    if rng.random() < 0.2:
        found["a/b~c"] = _value(rng)
    if rng.random() < 0.3:
        found["on"] = _date(rng, scale)
    return found


def _elements(rng: random.Random) -> Any:
    return rng.choice([
        [], [None], "x", [_value(rng), _value(rng)], [{"p": _value(rng)}, {}, {"p": _value(rng)}],
        [[_value(rng)], _value(rng)],
    ])  # fmt: skip


def _context(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.6:
        found["device"] = rng.choice([
            None, {}, "phone", {"type": "x"}, {"type": "mobile", "os": "iOS"},
            {"type": "desktop", "browser": rng.choice(SCALARS)}, {"os": "y" * 300, "screen": 1},
        ])  # fmt: skip
    if rng.random() < 0.4:
        found["location"] = {
            "country": rng.choice(["DE", "FR", None]),
            "latitude": rng.choice([52.4, 48.9, -33.9, 91, "52", None]),
            "longitude": rng.choice([13.4, 2.35, 151.2, True]),
        }
    return found


def _traits(rng: random.Random, scale: Scale) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.5:
        found["plain"] = _value(rng)
    if rng.random() < 0.5:
        found["dated"] = _date(rng, scale)
    if rng.random() < 0.3:
        found["nested"] = rng.choice([None, {}, {"p": _value(rng), "list": _elements(rng)}])
    return found


def _consent(rng: random.Random) -> dict[str, dict[str, bool]] | None:
    if rng.random() < 0.8:
        return None
    return {"email": {rng.choice(["offers", "news"]): rng.random() < 0.5}}


def _value(rng: random.Random) -> Any:
    return rng.choice([*SCALARS, 0.1, 0.2, 2.0, 1e12, ["x", 1], {"p": 1}])


def _date(rng: random.Random, scale: Scale) -> Any:
    text = iso(scale.at(rng.randint(0, LAST)))
    return rng.choice([
        text, text[:10], "1990" + text[4:10], "1992-02-29", text.removesuffix("Z") + "-08:00",
        "2026-13-01", "2025-W10T09:00", "later", 20260308, None,
    ])  # fmt: skip
