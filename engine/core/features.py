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

from engine.core import last_seen, occurrences, sessions, unfollowed
from engine.core.errors import CampaignError
from engine.core.model import Event, EventMatch

Features: TypeAlias = dict[str, Any]
Definition: TypeAlias = (
    occurrences.Occurrences | unfollowed.Unfollowed | sessions.Sessions | last_seen.LastSeen
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


KINDS: Final[dict[type[Any], Kind]] = {
    occurrences.Occurrences: Kind(
        lambda one: (one.match,), occurrences.compile_fold, occurrences.join, []
    ),
    unfollowed.Unfollowed: Kind(
        lambda one: (one.match, one.follower), unfollowed.compile_fold, unfollowed.join, [[], []]
    ),
    sessions.Sessions: Kind(lambda one: None, sessions.compile_fold, sessions.join, [[], []]),
    last_seen.LastSeen: Kind(lambda one: (one.match,), last_seen.compile_fold, last_seen.join, []),
}
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
