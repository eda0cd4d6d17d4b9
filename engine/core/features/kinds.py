"""Features: the least that must be remembered of a profile's events to decide a condition exactly.

A feature's definition is a frozen struct; its key is a hash of that definition, so equal features
of different segments are one. Its state is plain data (numbers in lists) that packs as msgpack,
lives in the profile's one dict of features under the key, and is absent until an event counts.
Each kind is one small unit: its module says how an event folds in and how two states become one,
and `KINDS` lists it. Adding a kind: one module, one line here, one branch in `conditions`.

What a fold may forget: verdicts are never asked for an instant before the `accepted_at` of an
event already folded, so what has left every window by then is dropped, whatever still arrives late.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from engine.core.errors import CampaignError
from engine.core.features import (
    distinct,
    edges,
    extremes,
    last_seen,
    latest,
    occurrences,
    recent_values,
    sequences,
    sessions,
    totals,
    unfollowed,
)
from engine.core.model.conditions import EventMatch
from engine.core.model.people import Event

Features: TypeAlias = dict[str, Any]
Definition: TypeAlias = (
    occurrences.Occurrences
    | unfollowed.Unfollowed
    | sessions.Sessions
    | totals.Totals
    | recent_values.RecentValues
    | extremes.Extremes
    | edges.FirstValue
    | edges.LastValue
    | distinct.Distinct
    | sequences.Sequences
    | latest.Latest
    | last_seen.LastSeen
)
Fold: TypeAlias = Callable[[Features, Event], None]


class Kind(NamedTuple):
    """One kind of feature.

    `listens` are the matches whose events it folds, None for every event that is behaviour.
    `compile_fold` makes the function that changes the state in place, under the key.
    `join` makes one state of two profiles' states, in which `empty` stands for none; it shares
    nothing with either.
    """

    listens: Callable[[Any], tuple[EventMatch, ...] | None]
    compile_fold: Callable[[Any, str], Fold]
    join: Callable[[Any, Any, Any], Any]
    empty: Any
    carries: Callable[[Any], Callable[[Event], bool]] | None = None
    """For one that listens to every event: the test of those that can change it."""
    limit_words: Callable[[Any], str] | None = None
    """What was too much to remember, where `limits` has a note of it."""


KINDS: Final[dict[type[Any], Kind]] = {
    occurrences.Occurrences: Kind(
        lambda one: (one.match,), occurrences.compile_fold, occurrences.join, [],
        limit_words=lambda one: occurrences.LIMIT_WORDS,
    ),
    unfollowed.Unfollowed: Kind(
        lambda one: (one.match, one.follower), unfollowed.compile_fold, unfollowed.join, [[], []],
        limit_words=lambda one: unfollowed.LIMIT_WORDS,
    ),
    sessions.Sessions: Kind(
        lambda one: None, sessions.compile_fold, sessions.join, [[], []],
        limit_words=sessions.limit_words,
    ),
    totals.Totals: Kind(
        lambda one: (one.match,), totals.compile_fold, totals.join, [0, 0, 0],
        limit_words=lambda one: totals.LIMIT_WORDS,
    ),
    recent_values.RecentValues: Kind(
        lambda one: (one.match,), recent_values.compile_fold, recent_values.join, [[], []],
        limit_words=recent_values.limit_words,
    ),
    extremes.Extremes: Kind(
        lambda one: (one.match,), extremes.compile_fold, extremes.join, [[], []],
        limit_words=extremes.limit_words,
    ),
    edges.FirstValue: Kind(
        lambda one: (one.match,), edges.compile_first_fold, edges.join_first, [],
    ),
    edges.LastValue: Kind(
        lambda one: (one.match,), edges.compile_last_fold, edges.join_last, [[], []],
        limit_words=lambda one: edges.LIMIT_WORDS,
    ),
    distinct.Distinct: Kind(
        lambda one: (one.match,), distinct.compile_fold, distinct.join, [[], []],
        limit_words=distinct.limit_words,
    ),
    sequences.Sequences: Kind(
        sequences.listens, sequences.compile_fold, sequences.join, [],
        limit_words=sequences.limit_words,
    ),
    latest.Latest: Kind(
        lambda one: None, latest.compile_fold, latest.join, [], latest.compile_carries
    ),
    last_seen.LastSeen: Kind(lambda one: (one.match,), last_seen.compile_fold, last_seen.join, []),
}  # fmt: skip
"""Every kind of feature on one screen."""

_KEY_BYTES: Final = 6
_encode: Final = msgspec.msgpack.Encoder().encode


def content(struct: msgspec.Struct) -> bytes:
    """The bytes that tell one definition from another (`is: 1` from `is: true` too)."""
    return _encode(struct)


def feature_key(definition: Definition) -> str:
    """Eight characters that name this definition on any machine and in any release."""
    digest = blake2b(content(definition), digest_size=_KEY_BYTES)
    return urlsafe_b64encode(digest.digest()).decode("ascii")


class Register:
    """The features of one program, by key."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}

    def add(self, definition: Definition) -> str:
        """The key of a definition, noted; equal definitions share it."""
        key = feature_key(definition)
        known = self.definitions.setdefault(key, definition)
        if content(known) != content(definition):
            raise CampaignError(
                f"two different features have the same key {key}; change either condition a "
                "little, for instance its window by one second"
            )
        return key

    def key_of(self, definition: Definition) -> str:
        """The key of a definition that was added; LookupError for one that was not."""
        key = feature_key(definition)
        if key not in self.definitions:
            raise LookupError(f"not compiled with this program: {definition!r}")
        return key
