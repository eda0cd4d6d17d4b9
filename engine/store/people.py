"""People for a batch: read in three bulk reads, written back in as few bulk writes.

Only the owner of a partition calls this. What did not change is not written: a page left clean is
the cheapest write there is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from engine.core.conditions.limits import MARK, n_noted
from engine.core.model.instants import NEVER, EnrollmentId, Instant, ProfileId
from engine.core.model.people import Contact, Enrollment, Membership, Person, Profile, Round, State
from engine.failpoints import hit
from engine.store import bulk, scores, states
from engine.store.connection import Connection, Row
from engine.store.states import Packer
from engine.tables import CONTACT_CLOSED

_PROFILE = (
    "SELECT id, zone, zone_from, traits, sealed, addresses, consent, data_key, state, external_id "
    "FROM profile LEFT JOIN profile_state ON profile_id = id "
    "WHERE id IN (?) AND merged_into IS NULL AND erased_at IS NULL"
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
_CONTACT = (
    "SELECT address_hash, suppressed, withdrawn, suppressed_until FROM contact "
    "WHERE address_hash IN (?)"
)
_CLOSED = f"{_CONTACT} AND {CONTACT_CLOSED}"

_json = msgspec.json.Encoder()
_traits = msgspec.json.Decoder(dict[str, Any])
_texts = msgspec.json.Decoder(dict[str, str])
_consent = msgspec.json.Decoder(dict[str, dict[str, bool]])


class _Memory(Struct, omit_defaults=True):
    """What the steps of one enrollment keep."""

    rounds: dict[str, Round] = {}
    saved: dict[str, Any] = {}


_MARK: Final = MARK.encode()
_memory = msgspec.json.Decoder(_Memory)
_topics = msgspec.json.Decoder(frozenset[str])

NO_CONTACT = Contact()

TEXTED: Final = "sms"
"""The channel whose addresses write back: a number must lead to those who have it."""
APPROXIMATE: Final = "approximate features"
"""The counter of how many features of profiles have passed a limit (`core.conditions.limits`)."""


class Loaded(Struct):
    """A person with what the core must not see (sealed values, the data key) and what was read.

    `addresses` maps a channel to the hash of its address; `was_*` are the rows as they stand in
    the database, to write only what differs; `was_state` is that row's msgpack.

    Two comparisons are spared nearly everyone, together 8 % of reading and playing. Who may change
    the profile's row says so in `is_told`. And `was_memberships` holds the very objects that were
    read: the core puts another in the place of one whose answer changes.
    """

    person: Person
    zone_from: str
    sealed: dict[str, str]
    addresses: dict[str, str]
    data_key: bytes | None
    was_profile: Row
    was_memberships: dict[str, Membership]
    was_enrollments: dict[int, Row]
    was_state: bytes | None = None
    is_told: bool = False


def load(
    connection: Connection,
    ids: Sequence[int],
    *,
    closed_for: int | None = None,
    models: Sequence[str] = (),
) -> dict[int, Loaded]:
    """Load everything a batch may read or change about these profiles.

    Every channel with an address, and the web channel, has a `Contact`. Ids that are unknown,
    were merged or erased are absent; `closed_for` asks for those alone that were closed for that
    winner.
    Scores are read only where the program asks for some (`models`, as in `Segments.news`).
    """
    asked = _Asked(connection, ids, closed_for=closed_for, models=models)
    asked.ask_contacts()
    return asked.people()


def load_pieces(
    connection: Connection, ids: Sequence[int], *, size: int, models: Sequence[str]
) -> Iterator[dict[int, Loaded]]:
    """`load` so many of these profiles at a time; no id may come twice.

    Where statements are pipelined, the next pieces are on their way while one is worked on, each
    as of the same snapshot.
    """
    coming = (
        _Asked(connection, ids[start : start + size], models=models)
        for start in range(0, len(ids), size)
    )
    here, following = next(coming, None), next(coming, None)
    if here is not None:
        here.ask_contacts()
    while here is not None:
        loaded = here.people()
        # To wait is to wait for all that was asked, so nothing is asked before that.
        if following is not None:
            following.ask_contacts()
        here, following = following, next(coming, None)
        yield loaded


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
        self._scores = connection.ask(scores.OF_PEOPLE, ids if models else ())

    def ask_contacts(self) -> None:
        """Ask for what the profiles' own rows lead to."""
        self._rows = self._profiles()
        self._addresses = {row[0]: _texts.decode(row[5]) for row in self._rows}
        # Nearly every address is open: only the small index of the others is asked.
        hashes = _hashes(key for keys in self._addresses.values() for key in keys.values())
        self._contacts = self._connection.ask(_CLOSED, hashes)

    def people(self) -> dict[int, Loaded]:
        """Wait for everything, and read it."""
        connection, addresses = self._connection, self._addresses
        known = _contacts_in(self._contacts())
        enrollments: dict[int, list[Row]] = {}
        for row in self._enrollments():
            enrollments.setdefault(row[1], []).append(row)
        loaded = {
            row[0]: _loaded(row, enrollments.get(row[0], ()), addresses[row[0]], known, connection)
            for row in self._rows
        }
        for profile_id, said in scores.by_profile(self._scores()).items():
            if profile_id in loaded:
                loaded[profile_id].person.profile.scores = said
        return loaded


def winners(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Of these profiles those that were merged, and whom they became."""
    rows = connection.select_in(
        "SELECT id, merged_into FROM profile WHERE id IN (?) AND merged_into IS NOT NULL", ids
    )
    found = {int(row[0]): int(row[1]) for row in rows}
    further = winners(connection, list(found.values())) if found else {}
    return {loser: further.get(winner, winner) for loser, winner in found.items()}


def contacts(connection: Connection, keys: Iterable[str]) -> dict[str, Contact]:
    """The contact rows of these address hashes (hex); an address without one is absent."""
    return _contacts_in(connection.select_in(_CONTACT, _hashes(keys)))


def _hashes(keys: Iterable[str]) -> list[bytes]:
    return [bytes.fromhex(key) for key in dict.fromkeys(keys)]


def _contacts_in(rows: Iterable[Row]) -> dict[str, Contact]:
    return {
        row[0].hex(): Contact(row[1], _topics.decode(row[2]), NEVER if row[3] is None else row[3])
        for row in rows
    }


def _loaded(
    row: Row,
    enrollments: Sequence[Row],
    addresses: dict[str, str],
    known: Mapping[str, Contact],
    connection: Connection,
) -> Loaded:
    state = None if row[8] is None else states.plain(row[8], connection)
    reachable = dict.fromkeys(addresses, NO_CONTACT)
    if known:  # as hardly ever
        reachable |= {at: known[key] for at, key in addresses.items() if key in known}
    reachable["web"] = NO_CONTACT  # whoever visits can be shown something
    profile = Profile(
        id=ProfileId(row[0]),
        zone=row[1],
        traits=_traits.decode(row[3]),
        consent=_consent.decode(row[6]),
        addresses=reachable,
        external_id=row[9],
    )
    remembered = State() if state is None else states.decode(state)
    return Loaded(
        person=Person(
            profile=profile,
            state=remembered,
            enrollments=[_enrollment(found) for found in enrollments] if enrollments else [],
            is_new=state is None,
        ),
        zone_from=row[2],
        sealed=_texts.decode(row[4]),
        addresses=addresses,
        data_key=row[7],
        was_profile=row[1:7],
        was_memberships=remembered.memberships.copy(),
        was_state=state,
        was_enrollments={found[0]: found for found in enrollments} if enrollments else {},
    )


def members_of(memberships: Mapping[str, Membership]) -> frozenset[str]:
    """The segments that someone with these memberships is inside."""
    return frozenset([name for name, inside in memberships.items() if inside.matches])


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


class Changes(Struct):
    """What a batch changed of its people, as rows: made while the batch plays, so that the lock of
    the transaction is held for the writes alone and nobody is kept in memory until then."""

    states: list[Row] = []
    profiles: list[Row] = []
    contacts: list[tuple[bytes, str]] = []
    holders: list[tuple[bytes, int]] = []
    entered: list[Row] = []
    moved: list[Row] = []
    inside: list[Row] = []
    outside: list[Row] = []
    n_approximate: int = 0
    packer: Packer = field(default_factory=Packer)

    def take(self, it: Loaded) -> None:
        """Add what differs between a person as they are now and as they were read."""
        person, profile_id = it.person, it.person.profile.id
        packed = self.packer.pack(person.state)
        self.states.append((profile_id, packed))
        # Hardly ever; the mark is seen in bytes at once, only in compressed ones it is not.
        is_unseen = states.is_compressed(packed)
        if (is_unseen or _MARK in packed) and (n_now := n_noted(person.state.features)):
            noted = states.decode(it.was_state).features if it.was_state else {}
            self.n_approximate += max(0, n_now - n_noted(noted))
        if it.is_told and (row := profile_row(it)) != it.was_profile:
            self.profiles.append((profile_id, *row))
            if row[4] != it.was_profile[4]:
                self.contacts += [(bytes.fromhex(key), name) for name, key in it.addresses.items()]
                if (number := it.addresses.get(TEXTED)) is not None:
                    self.holders.append((bytes.fromhex(number), profile_id))
        for enrollment in person.enrollments:
            row = enrollment_row(enrollment, profile_id)
            was = it.was_enrollments.get(enrollment.id)
            if was is None:
                self.entered.append(row)
            elif was != row:
                self.moved.append(row)
        if person.state.memberships != it.was_memberships:
            self._take_crossings(profile_id, it.was_memberships, person.state.memberships)

    def _take_crossings(
        self, profile_id: int, were: Mapping[str, Membership], are: Mapping[str, Membership]
    ) -> None:
        for name, each in are.items():
            before = were.get(name)
            if each is before:
                continue
            was_inside = before is not None and before.matches
            if each.matches and not was_inside:
                self.inside.append((name, profile_id, each.since))
            elif was_inside and not each.matches:
                self.outside.append((name, profile_id))
        if were.keys() != are.keys():  # as hardly ever
            self.outside += [(one, profile_id) for one in were.keys() - are if were[one].matches]


def save(connection: Connection, changes: Changes, *, now: Instant) -> None:
    """Write what a batch changed of its people, within the caller's transaction."""
    changes.packer.settle(connection, now=now)
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
    bulk.insert(
        connection,
        "address_holder",
        ("address_hash", "profile_id"),
        changes.holders,
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
