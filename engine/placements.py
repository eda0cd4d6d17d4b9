"""The web messages that a visitor may be shown now, read from one snapshot.

What was kept is asked again at every reading: is it over, has a newer one taken its place, was it
seen to its end, may this person still be shown it? Consent is that of the profile, less what the
ledger says no to: a withdrawal holds from the moment it was acknowledged, before it is played.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from engine.core.model.campaigns import Program, Topic
from engine.core.model.gates import Draft
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Contact, Person, Profile, State
from engine.core.policy import unreachable
from engine.sending.placing import SEALED_AS
from engine.store import identities, placements
from engine.store.connection import Connection
from engine.store.people import contacts
from engine.store.placements import Kept
from engine.store.queue import Addressee, addressees
from engine.vault import Vault, sealed_for

WEB: Final = "web"
ENDED_BY: Final[Mapping[str, frozenset[str]]] = {
    "in-page": frozenset({"dismissed"}),
    "banner": frozenset({"dismissed", "clicked"}),
    "modal": frozenset({"displayed", "dismissed", "clicked"}),
}
"""What a visitor does after which a message of each kind is not shown again."""

AddressHash = Callable[[str, str], bytes]
_consent: Final = msgspec.json.Decoder(dict[str, dict[str, bool]])


class Visitor(Struct, frozen=True):
    """Who is asked about: an id of the caller's. `kinds` are tried in their order."""

    id: str
    kinds: tuple[Literal["user", "anonymous"], ...]


class Shown(Struct, frozen=True):
    """A message that may be shown, with its page in the clear."""

    kept: Kept
    html: str


def shown_to(
    connection: Connection,
    visitors: Sequence[Visitor],
    *,
    program: Program,
    vault: Vault,
    now: Instant,
) -> list[list[Shown]]:
    """What each of these visitors may be shown, in the order in which it should be.

    The higher priority first, then the newer. Nobody known, erased, or suppressed on this channel
    (by their user id) has anything.
    """
    profiles = _profiles(connection, visitors)
    people = addressees(connection, {it for it in profiles if it is not None})
    waiting = placements.kept(connection, sorted({it.id for it in people.values()}), now=now)
    if not waiting:
        return [[] for _ in visitors]
    met = placements.met(connection, [it.message for all_ in waiting.values() for it in all_])
    refused = placements.refused_topics(connection, list(waiting))
    marks = {
        it.id: vault.address_hash(WEB, it.external_id).hex()
        for it in people.values()
        if it.id in waiting
    }
    known = contacts(connection, marks.values())
    keys = _data_keys(connection, waiting)
    found: dict[int, list[Shown]] = {}
    for person in people.values():
        if person.id in waiting and person.id not in found and person.erased_at is None:
            profile = _profile(person, known.get(marks[person.id]), refused.get(person.id, set()))
            standing = [
                it
                for it in _newest(waiting[person.id])
                if not met.get(it.message, set()) & ENDED_BY[it.kind]
                and not _is_refused(it, profile, program, now)
            ]
            standing.sort(key=lambda it: (-it.priority, -it.message))
            found[person.id] = _opened(standing, vault, keys)
    ids = [people[it].id if it in people else 0 for it in profiles]
    return [found.get(it, []) for it in ids]


def _profiles(connection: Connection, visitors: Sequence[Visitor]) -> list[int | None]:
    """The profile that each visitor's id leads to."""
    known: dict[tuple[str, str], int] = {}
    for kind in ("user", "anonymous"):
        wanted = sorted({it.id for it in visitors if kind in it.kinds})
        if wanted:
            found = identities.find(connection, kind, wanted)
            known |= {(kind, value): profile for value, profile in found.items()}
    return [
        next((known[kind, it.id] for kind in it.kinds if (kind, it.id) in known), None)
        for it in visitors
    ]


def _newest(waiting: Sequence[Kept]) -> list[Kept]:
    """Of a campaign's messages for one slot the newest: the others were about an earlier time."""
    taken: set[tuple[str, str]] = set()
    found = []
    for it in sorted(waiting, key=lambda each: -each.message):
        if (it.placement, it.campaign) not in taken:
            taken.add((it.placement, it.campaign))
            found.append(it)
    return found


def _profile(person: Addressee, contact: Contact | None, refused: set[str]) -> Person:
    """The person as the gates see them: web consent with the last word of the ledger."""
    consent = dict(_consent.decode(person.consent))
    consent[WEB] = {**consent.get(WEB, {}), **dict.fromkeys(refused, False)}
    addresses = {WEB: contact or Contact()}
    return Person(Profile(ProfileId(person.id), person.zone, {}, consent, addresses), State())


def _is_refused(it: Kept, person: Person, program: Program, now: Instant) -> bool:
    topic = program.topics.get(it.topic) or Topic(it.topic)
    draft = Draft(it.campaign, WEB, it.template, topic, priority=0)
    return unreachable(draft, person, program=program, now=now) is not None


def _data_keys(connection: Connection, waiting: Mapping[int, Sequence[Kept]]) -> dict[int, Any]:
    """The wrapped keys that open these pages: after a merge some are sealed for the loser."""
    wanted = {sealed_for(it.body) for all_ in waiting.values() for it in all_}
    return dict(
        connection.select_in(
            "SELECT id, data_key FROM profile WHERE id IN (?) AND data_key IS NOT NULL",
            sorted(wanted),
        )
    )


def _opened(standing: Sequence[Kept], vault: Vault, keys: Mapping[int, bytes]) -> list[Shown]:
    """The pages in the clear; one whose data key is gone is gone with it."""
    owners = {sealed_for(it.body) for it in standing} & keys.keys()
    opened = {owner: vault.unwrap(owner, keys[owner]) for owner in owners}
    return [
        Shown(it, vault.open(opened[owner], it.body, aad=SEALED_AS))
        for it in standing
        if (owner := sealed_for(it.body)) in opened
    ]
