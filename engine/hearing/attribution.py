"""Which message a report is about, and whether its sender may speak of it.

Providers name a message by our id, by their own, or by both. Accounts are shared (a staging system
beside the real one), and our ids are small numbers: a report about another system's message 7 must
not touch ours. So a message must have gone out by that channel and provider, and where both names
are there they must agree.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from channels.delivery import DeliveryEvent
from engine.store.connection import Connection

ID_CHARACTERS_MAX: Final = 500
_ID_MAX: Final = 2**62
_UNNAMED: Final = ("", "ambiguous", "accepted")
"""Outcomes of an attempt to which a provider's name may yet belong: its answer has not been read
(it may come after the first report), was lost, or named nothing."""

_ATTEMPTS: Final = (
    "SELECT a.message_id, a.outcome, a.provider_id, "
    "CASE a.account WHEN '' THEN m.account ELSE a.account END FROM attempt a "
    "JOIN message m ON m.id = a.message_id WHERE {} AND a.provider = ? AND m.channel = ?"
)


class Speaker(Struct, frozen=True):
    """Who says it: a channel of antiphon.yaml, its kind, and the provider's name."""

    channel: str
    kind: str
    provider: str


class Attributed(Struct):
    """Reports with the message each is about; those of others; and those whose message only the
    provider named, by a name that we have not heard (yet)."""

    known: list[DeliveryEvent] = field(default_factory=list)
    foreign: list[DeliveryEvent] = field(default_factory=list)
    strays: list[DeliveryEvent] = field(default_factory=list)


class _Tried(Struct):
    """What attempts at one message say about its names. `is_open`: one has none yet, and was made
    by this very channel (another one may have been called, too)."""

    names: set[str] = field(default_factory=set)
    is_open: bool = False


def attributed(
    connection: Connection, reports: Sequence[DeliveryEvent], speaker: Speaker
) -> Attributed:
    """Sort reports of one provider by whether they are about a message it was given by us."""
    by_message = _by_message(connection, reports, speaker)
    by_name = _by_name(connection, reports, speaker)
    found = Attributed()
    for it in reports:
        name = it.provider_id if len(it.provider_id) <= ID_CHARACTERS_MAX else ""
        if it.message is not None:
            tried = by_message.get(it.message)
            is_ours = tried is not None and (name in tried.names or tried.is_open)
            (found.known if is_ours else found.foreign).append(it)
        elif name in by_name:
            found.known.append(replace(it, message=by_name[name]))
        else:
            (found.strays if name else found.foreign).append(it)
    return found


def _by_message(
    connection: Connection, reports: Sequence[DeliveryEvent], speaker: Speaker
) -> Mapping[int, _Tried]:
    """The attempts at messages that are named by our id."""
    ids = sorted({it.message for it in reports if it.message and 0 < it.message < _ID_MAX})
    unnamed = {it.message for it in reports if not it.provider_id}
    found: dict[int, _Tried] = defaultdict(_Tried)
    for message, outcome, name, account in connection.select_in(
        _ATTEMPTS.format("a.message_id IN (?)"), ids, (speaker.provider, speaker.kind)
    ):
        tried = found[message]
        if name:
            tried.names.add(name)
        if account in ("", speaker.channel):
            tried.is_open |= not name and outcome in _UNNAMED
            if message in unnamed:
                tried.names.add("")
    return found


def _by_name(
    connection: Connection, reports: Sequence[DeliveryEvent], speaker: Speaker
) -> Mapping[str, int]:
    """The newest message of each of the provider's names."""
    names = {it.provider_id for it in reports if it.message is None and it.provider_id}
    # The partial index is used only where the statement says that names are not empty.
    rows = connection.select_in(
        _ATTEMPTS.format("a.provider_id IN (?) AND a.provider_id <> ''"),
        sorted(name for name in names if len(name) <= ID_CHARACTERS_MAX),
        (speaker.provider, speaker.kind),
    )
    return {name: message for message, _, name, _ in sorted(rows)}
