"""The workspace that the rig's worlds play: that of `build`, and every later construct beside it.

A file version ("v1", "v2", "v3") is what somebody has written; a release is one of them made live,
or an operator's order. Programs are built by hand, so that the rig can only fail because the engine
did; what operators did to them is read by the engine's own code.
Read next: `shop_journeys`, its campaigns; `operated`, the process that plays it.
"""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec

from campaigns.load import load_bundle
from campaigns.workspace import Workspace
from engine.core.model.campaigns import EventTrigger, Move
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    LocalTimeCondition,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    Window,
)
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.segments import for_program
from engine.release.operating import Standing, overruled
from engine.release.playbook import Playbook
from tests.rig.build import EXPERIMENT, SETTINGS, a_playbook, an_experiment
from tests.rig.shop_journeys import CART_MOVES, cart_of, later_campaigns

FIRST: Final = "v1"
VERSIONS: Final = ("v1", "v2", "v3")
COLLECT: Final = 2 * MINUTE


@lru_cache(512)
def the_shop(
    files: tuple[str, ...] = (FIRST,), operations: tuple[tuple[str, bytes], ...] = ()
) -> Playbook:
    """The shop as of its last release.

    Args:
        files: The file version of every release so far, the first one first.
        operations: What operators did, by campaign: (name, a `Standing` as JSON).
    """
    version, number = files[-1], len(files)
    phases = 1 + sum(before != after for before, after in pairwise(files))
    plain = a_playbook()
    program = msgspec.structs.replace(
        plain.program,
        release=number,
        campaigns={**plain.program.campaigns, "cart": cart_of(version), **later_campaigns()},
        segments=_segments(version),
        pinned={("cart", each.version): each for each in map(cart_of, VERSIONS)},
        experiments={(EXPERIMENT, n): an_experiment(n) for n in range(1, phases + 1)},
        phases={EXPERIMENT: phases},
        collect=COLLECT,
        moves=moves_of(files),
    )
    program = overruled(
        program, {name: msgspec.json.decode(it, type=Standing) for name, it in operations}
    )
    return replace(
        plain,
        workspace=_workspace(),
        program=program,
        segments=for_program(program),
        features_at=lambda release: features_of(files[release - 1]) if release else frozenset(),
    )


def moves_of(files: tuple[str, ...]) -> tuple[Move, ...]:
    """Release by release: whoever is inside the cart's journey goes with it, but never back."""
    found = []
    for number, (before, after) in enumerate(pairwise(files), start=2):
        if after > before and cart_of(after).version != cart_of(before).version:
            found.append(Move(number, "cart", cart_of(after).version, "any", CART_MOVES))
    return tuple(found)


@lru_cache
def features_of(version: str) -> frozenset[str]:
    """What a file version has remembered of everyone."""
    return the_shop((version,)).segments.feature_keys


def _segments(version: str) -> dict[str, Condition]:
    spree = AggregateCondition(
        EventMatch("Product Added"),
        "sum",
        ("properties", "price"),
        (Comparison("gte", 60),),
        Window(within=6 * HOUR),
    )
    path = SequenceCondition(
        (
            SequenceStep(EventMatch("Product Viewed")),
            SequenceStep(
                EventMatch("Product Added"), gap=HOUR, without=EventMatch("Order Completed")
            ),
        ),
        Window(within=DAY),
    )
    later: dict[str, Condition] = {
        "spree": spree,
        "path": path,
        "evening": All(
            (
                LocalTimeCondition(17 * 60, 22 * 60),
                EventCondition(EventMatch("Product Viewed"), window=Window(within=DAY)),
            )
        ),
        "hot": All((SegmentCondition("spree"), SegmentCondition("path"))),
    }
    if version != FIRST:
        later["viewer"] = EventCondition(
            EventMatch("Product Viewed"), (Comparison("gte", 3),), Window(within=7 * DAY)
        )
    return {**a_playbook().program.segments, **later}


@lru_cache
def _workspace() -> Workspace:
    """The files in which an operator's order looks up names; the journeys are `the_shop`'s."""
    files = {"antiphon.yaml": SETTINGS.replace(b"traits: {", b"traits: {birthday: {type: date}, ")}
    campaigns = the_names()
    for name, starts_by_itself in campaigns.items():
        trigger = '{schedule: {cron: "0 9 * * *"}}' if starts_by_itself else "{event: Page Seen}"
        text = f"campaign: {name}\nstate: draft\ntrigger: {trigger}\njourney: [{{exit: true}}]\n"
        files[f"campaigns/{name}.yaml"] = text.encode()
    return load_bundle(files, environ={})


def the_names() -> dict[str, bool]:
    """The shop's campaigns, and whether they start without an event."""
    found = {**a_playbook().program.campaigns, **later_campaigns()}
    return {name: not isinstance(it.trigger, EventTrigger) for name, it in found.items()}
