"""What a condition is compiled to: its closure, and everything its answer depends on."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from engine.core.conditions.comparisons import Answer
from engine.core.features.kinds import Features
from engine.core.model.instants import Instant
from engine.core.model.people import Profile

Ask: TypeAlias = Callable[[Features, Profile, Instant], Answer]
"""A compiled condition: (features, profile, now) -> (holds, until)."""

ZONE = "zone"
EXTERNAL_ID = "external_id"


class Compiled(NamedTuple):
    """A condition's closure, and what its answer depends on, references included.

    `facts` are what else of a profile it reads: ZONE, EXTERNAL_ID, "consent:<channel>",
    "score:<model>".
    """

    ask: Ask
    features: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


def joined(ask: Ask, parts: Iterable[Compiled]) -> Compiled:
    """A closure that asks all these parts."""
    parts = tuple(parts)
    return Compiled(
        ask,
        frozenset().union(*(part.features for part in parts)),
        frozenset().union(*(part.traits for part in parts)),
        frozenset().union(*(part.facts for part in parts)),
    )
