"""People for a batch: read in three bulk reads, written back in as few bulk writes.

Only the owner of a partition calls this. What did not change is not written: a page left clean is
the cheapest write there is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.core.conditions.limits import n_noted
from engine.core.model import (
    Contact,
    Enrollment,
    EnrollmentId,
    Instant,
    Person,
    Profile,
    ProfileId,
    Round,
    State,
)
from engine.failpoints import hit
from engine.store import bulk, scores
from engine.store.connection import Connection, Row
from engine.tables import CONTACT_CLOSED

_PROFILE = (
    "SELECT id, zone, zone_from, traits, sealed, addresses, consent, data_key, state, external_id "
    "FROM profile LEFT JOIN profile_state ON profile_id = id "
    "WHERE id IN (?) AND merged_into IS NULL"
)
_CLOSED_PROFILE = _PROFILE.replace("merged_into IS NULL", "merged_into = ?")
_ENROLLMENT_COLUMNS = (
    "id", "profile_id", "campaign", "version", "key", "status", "entered_at", "step", "step_at",
    "due_at", "visit", "trigger_seq", "trigger", "variants", "held_by", "message", "reason",
    "memory",
)  # fmt: skip
_ENROLLMENTS = (
    f"SELECT {', '.join(_ENROLLMENT_COLUMNS)} FROM enrollment "
    "WHERE profile_id IN (?) AND status = 'active' ORDER BY id"
)
_PROFILE_CHANGES = ("zone", "zone_from", "traits", "sealed", "addresses", "consent")
_CONTACT = "SELECT address_hash, suppressed, withdrawn FROM contact WHERE address_hash IN (?)"
_CLOSED = f"{_CONTACT} AND {CONTACT_CLOSED}"

_json = msgspec.json.Encoder()
_any = msgspec.json.Decoder()
_traits = msgspec.json.Decoder(dict[str, Any])
_texts = msgspec.json.Decoder(dict[str, str])
_consent = msgspec.json.Decoder(dict[str, dict[str, bool]])


class _Memory(Struct, omit_defaults=True):
    """What the steps of one enrollment keep."""

    rounds: dict[str, Round] = {}
    saved: dict[str, Any] = {}


_memory = msgspec.json.Decoder(_Memory)
_topics = msgspec.json.Decoder(frozenset[str])
_state = msgspec.msgpack.Decoder(State)
_pack = msgspec.msgpack.Encoder()

NO_CONTACT = Contact()


APPROXIMATE: Final = "approximate features"
"""The counter of how many features of profiles have passed a limit (`core.conditions.limits`)."""


class Loaded(Struct):
    """A person with what the core must not see (sealed values, the data key) and what was read.

    `addresses` maps a channel to the hash of its address; `was_*` are the rows as they stand in
    the database (`was_texts` the JSON of a profile's row as one), to write only what differs.
    """

    person: Person
    zone_from: str
    sealed: dict[str, str]
    addresses: dict[str, str]
    data_key: bytes | None
    was_profile: Row
    was_texts: bytes
    was_members: frozenset[str]
    was_enrollments: dict[int, Row]
    was_approximate: int = 0


def load(
    connection: Connection,
    ids: Sequence[int],
    *,
    closed_for: int | None = None,
    models: Sequence[str] = (),
) -> dict[int, Loaded]:
    """Load everything a batch may read or change about these profiles.

    Every channel with an address, and the web channel, has a `Contact`. Ids that are unknown or
    were merged are absent; `closed_for` asks for those alone that were closed for that winner.
    Scores are read only where the program asks for some (`models`, as in `Segments.news`).
    """
    asked = _Asked(connection, ids, closed_for=closed_for, models=models)
    asked.ask_contacts()
    return asked.people()


def load_pieces(
    connection: Connection, ids: Sequence[int], *, size: int, models: Sequence[str]
) -> Iterator[dict[int, Loaded]]:
    """`load` so many of these profiles at a time; no id may come twice.

    Where statements are pipelined, the next pieces are on their way while one is worked on: its
    contacts were asked for one piece ago, its other rows two pieces ago.
    """
    coming = (
        _Asked(connection, ids[start : start + size], models=models)
        for start in range(0, len(ids), size)
    )
    here, following = next(coming, None), next(coming, None)
    if here is not None:
        here.ask_contacts()
    while here is not None:
        rows = here.contacts()
        if following is not None:
            following.ask_contacts()
        after = next(coming, None)
        yield here.people(rows)
        here, following = following, after


class _Asked:
    """People on their way from the database: asked for, not yet looked at."""

    def __init__(
        self,
        connection: Connection,
        ids: Sequence[int],
        *,
        closed_for: int | None = None,
        models: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._enrollments = connection.ask(_ENROLLMENTS, ids)
        if closed_for is None:
            self._profiles = connection.ask(_PROFILE, ids)
        else:
            self._profiles = connection.ask(_CLOSED_PROFILE, ids, (closed_for,))
        self._scores = scores.ask_of_people(connection, ids) if models else dict

    def ask_contacts(self) -> None:
        """Ask for what the rows of the profiles lead to."""


def winners(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Of these profiles those that were merged, and whom they became."""
    rows = connection.select_in(
        "SELECT id, merged_into FROM profile WHERE id IN (?) AND merged_into IS NOT NULL", ids
    )
    found = {int(row[0]): int(row[1]) for row in rows}
    further = winners(connection, list(found.values())) if found else {}
    return {loser: further.get(winner, winner) for loser, winner in found.items()}


def contacts(
    connection: Connection, keys: Iterable[str], *, only_closed: bool = False
) -> dict[str, Contact]:
    """The contact rows of these address hashes (hex); an address without one is absent.

    `only_closed` leaves out those to which everything may be sent: they are as `NO_CONTACT`.
    """
    hashes = [bytes.fromhex(key) for key in dict.fromkeys(keys)]
    return {
        row[0].hex(): Contact(row[1], _topics.decode(row[2]))
        for row in connection.select_in(_CLOSED if only_closed else _CONTACT, hashes)
    }


def _loaded(
    row: Row,
    enrollments: Sequence[Row],
    addresses: dict[str, str],
    known: Mapping[str, Contact],
) -> Loaded:
    state = row[8]
    reachable = {channel: known.get(key, NO_CONTACT) for channel, key in addresses.items()}
    reachable["web"] = NO_CONTACT  # whoever visits can be shown something
    profile = Profile(
        id=ProfileId(row[0]),
        zone=row[1],
        traits=_traits.decode(row[3]),
        consent=_consent.decode(row[6]),
        addresses=reachable,
        external_id=row[9],
    )
    remembered = State() if state is None else _state.decode(state)
    return Loaded(
        person=Person(
            profile=profile,
            state=remembered,
            enrollments=[_enrollment(found) for found in enrollments],
            is_new=state is None,
        ),
        zone_from=row[2],
        sealed=_texts.decode(row[4]),
        addresses=addresses,
        data_key=row[7],
        was_profile=row[1:7],
        was_texts=f"[{row[3]},{row[4]},{row[5]},{row[6]}]".encode(),
        was_members=members_of(remembered),
        was_approximate=n_noted(remembered.features),
        was_enrollments={found[0]: found for found in enrollments},
    )


def members_of(state: State) -> frozenset[str]:
    """The segments this profile is inside."""
    return frozenset([name for name, inside in state.memberships.items() if inside.matches])


def _enrollment(row: Row) -> Enrollment:
    memory = _memory.decode(row[17]) if row[17] else _Memory()
    return Enrollment(
        id=EnrollmentId(row[0]),
        campaign=row[2],
        version=row[3],
        key=row[4],
        status=row[5],
        entered_at=row[6],
        step=row[7],
        step_at=row[8],
        due_at=row[9],
        visit=row[10],
        trigger_seq=row[11],
        trigger=_traits.decode(row[12]),
        variants=_texts.decode(row[13]),
        is_held_out=bool(row[14]),
        held_by=row[14],
        message=row[15],
        reason=row[16],
        rounds=memory.rounds,
        saved=memory.saved,
    )


def text(value: Any) -> str:
    """JSON as it is stored."""
    return _json.encode(value).decode()


def enrollment_row(it: Enrollment, profile_id: int) -> Row:
    """The row of an enrollment, in the order of the table's columns."""
    return (
        it.id, profile_id, it.campaign, it.version, it.key, it.status, it.entered_at, it.step,
        it.step_at, it.due_at, it.visit, it.trigger_seq, text(it.trigger), text(it.variants),
        it.held_by, it.message, it.reason,
        text({"rounds": it.rounds, "saved": it.saved}) if it.rounds or it.saved else "",
    )  # fmt: skip


def profile_row(it: Loaded) -> Row:
    """The columns of a profile that a batch may change."""
    profile = it.person.profile
    return (
        profile.zone, it.zone_from, text(profile.traits), text(it.sealed), text(it.addresses),
        text(profile.consent),
    )  # fmt: skip


def _has_changed(it: Loaded) -> bool:
    """Whether the profile's row would differ: most do not, and one encoding tells."""
    profile = it.person.profile
    return (
        profile.zone != it.was_profile[0]
        or it.zone_from != it.was_profile[1]
        or _json.encode((profile.traits, it.sealed, it.addresses, profile.consent)) != it.was_texts
    )


class Changes(Struct):
    """What a batch changed of its people, as rows: made while the batch plays, so that the lock of
    the transaction is held for the writes alone and nobody is kept in memory until then."""

    states: list[Row] = []
    profiles: list[Row] = []
    contacts: list[tuple[bytes, str]] = []
    entered: list[Row] = []
    moved: list[Row] = []
    inside: list[Row] = []
    outside: list[Row] = []
    n_approximate: int = 0

    def take(self, it: Loaded) -> None:
        """Add what differs between a person as they are now and as they were read."""
        person = it.person
        profile_id = person.profile.id
        self.states.append((profile_id, _pack.encode(person.state)))
        self.n_approximate += max(0, n_noted(person.state.features) - it.was_approximate)
        if _has_changed(it):
            row = profile_row(it)
            self.profiles.append((profile_id, *row))
            if row[4] != it.was_profile[4]:
                self.contacts += [(bytes.fromhex(key), name) for name, key in it.addresses.items()]
        for enrollment in person.enrollments:
            row = enrollment_row(enrollment, profile_id)
            was = it.was_enrollments.get(enrollment.id)
            if was is None:
                self.entered.append(row)
            elif was != row:
                self.moved.append(row)
        members = members_of(person.state)
        if members != it.was_members:
            since = person.state.memberships
            self.inside += [
                (name, profile_id, since[name].since) for name in members - it.was_members
            ]
            self.outside += [(name, profile_id) for name in it.was_members - members]


def save(connection: Connection, changes: Changes, *, now: Instant) -> None:
    """Write what a batch changed of its people, within the caller's transaction."""
    bulk.insert(
        connection, "profile_state", ("profile_id", "state"), changes.states, on_conflict="replace"
    )
    bulk.update(connection, "profile", ("id",), _PROFILE_CHANGES, changes.profiles)
    # The row that withdrawals and attempts meet at exists before the first message does.
    bulk.insert(
        connection,
        "contact",
        ("address_hash", "channel", "withdrawn", "updated_at"),
        [(key, channel, "[]", now) for key, channel in changes.contacts],
        on_conflict="ignore",
    )
    bulk.insert(connection, "enrollment", _ENROLLMENT_COLUMNS, changes.entered)
    bulk.insert(connection, "enrollment", _ENROLLMENT_COLUMNS, changes.moved, on_conflict="replace")
    hit("enrollment insert")
    bulk.delete(connection, "membership", ("segment", "profile_id"), changes.outside)
    bulk.insert(
        connection,
        "membership",
        ("segment", "profile_id", "since"),
        changes.inside,
        on_conflict="replace",
    )
    hit("membership write")
    if changes.n_approximate:
        bulk.reserve(connection, APPROXIMATE, changes.n_approximate)
