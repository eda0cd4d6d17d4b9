"""Whose event it is: an id of the caller's in, the canonical profile out (rule 7).

An anonymous id belongs to the first user id that claims it. A later user id on that device gets a
profile of its own and the link stays. A known user who turns up on an unclaimed device takes its
profile over: the two merge, and the older profile is the canonical one. Two known users merge only
by `alias` with a server key. What this refuses: to look at traits, and to guess.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from engine.core.model.instants import Instant
from engine.intake.prepare import Fact
from engine.store import identities
from engine.store.bulk import last, reserve
from engine.store.connection import Connection
from engine.store.identities import Known, Link, NewProfile

REMEMBERED_MAX: Final = 500_000
"""Ids kept in memory, some 150 bytes each; beyond it memory starts anew."""


class Merge(Struct, frozen=True):
    """Two profiles that are one person. `before` is the place of the fact that said so."""

    loser: int
    winner: int
    before: int


class Resolved(Struct):
    """The profile of each fact, the merges in order, and the parts that were not allowed."""

    profile_ids: list[int]
    merges: list[Merge]
    refused: dict[int, str]
    data_keys: dict[int, bytes]


class Identities:
    """Resolves ids, remembering what committed transactions said.

    Its memory is checked against a counter at every transaction: whoever changes an identity in a
    commit raises it, so an undone transaction of ours or a commit of another process shows.
    """

    def __init__(self, *, new_data_key: Callable[[int], bytes], zone: str) -> None:
        self._new_data_key = new_data_key
        self.zone = zone
        self._users: dict[str, int] = {}
        self._anonymous: dict[str, int] = {}
        self._epoch = -1

    def resolve(self, connection: Connection, facts: Sequence[Fact], *, now: Instant) -> Resolved:
        """Find or make the profile of every fact, in order, and write all that is new."""
        epoch = last(connection, identities.EPOCH)
        if epoch != self._epoch or len(self._users) + len(self._anonymous) > REMEMBERED_MAX:
            self.forget()
        room = self._recall(connection, facts)
        first = reserve(connection, identities.COUNTER, room) if room else 0
        step = _Step(self, connection, facts, first=first, now=now)
        resolved = step.run()
        if room > step.n_new:
            # Our lock on the counter is held until commit: nobody has seen the rest of the block.
            reserve(connection, identities.COUNTER, step.n_new - room)
        if step.is_changed:
            self._epoch = reserve(connection, identities.EPOCH, 1)
        else:
            self._epoch = epoch
        return resolved

    def forget(self) -> None:
        """Start anew from what is committed."""
        self._users.clear()
        self._anonymous.clear()

    def _recall(self, connection: Connection, facts: Sequence[Fact]) -> int:
        """Read the ids that memory lacks; give how many the database lacks too."""
        users = {it.user_id for it in facts if it.user_id is not None}
        anonymous = {it.anonymous_id for it in facts if it.anonymous_id is not None}
        previous = {it.previous_id for it in facts if it.previous_id is not None}
        users |= previous
        anonymous |= previous
        lacking = 0
        for kind, memory, wanted in (
            ("user", self._users, users),
            ("anonymous", self._anonymous, anonymous),
        ):
            missing = [value for value in wanted if value not in memory]
            found = identities.find(connection, kind, missing)
            memory.update(found)
            lacking += len(missing) - len(found)
        return lacking


class _Step:
    """One transaction's resolution: facts in order, then the writes in bulk."""

    def __init__(
        self,
        memory: Identities,
        connection: Connection,
        facts: Sequence[Fact],
        *,
        first: int,
        now: Instant,
    ) -> None:
        self._memory = memory
        self._users = memory._users
        self._anonymous = memory._anonymous
        self._connection = connection
        self._facts = facts
        self._first = first
        self._now = now
        self._known: dict[int, Known] = {}
        self._new: list[NewProfile] = []
        self._links: list[Link] = []
        self._names: dict[int, str] = {}
        self._redirects: dict[int, int] = {}
        self._merges: list[Merge] = []
        self._refused: dict[int, str] = {}

    @property
    def n_new(self) -> int:
        return len(self._new)

    @property
    def is_changed(self) -> bool:
        return bool(self._new or self._links or self._merges or self._names)

    def run(self) -> Resolved:
        self._read_contested()
        profile_ids = [self._resolve(place, fact) for place, fact in enumerate(self._facts)]
        self._write()
        return Resolved(
            profile_ids,
            self._merges,
            self._refused,
            {it.id: it.data_key for it in self._new},
        )

    def _read_contested(self) -> None:
        """Read the profiles of facts whose ids lead to different ones, in one go."""
        contested: set[int] = set()
        for fact in self._facts:
            if fact.previous_id is not None:
                ids = (
                    self._users.get(fact.user_id or ""),
                    self._users.get(fact.previous_id),
                    self._anonymous.get(fact.previous_id),
                )
            elif fact.user_id is not None and fact.anonymous_id is not None:
                ids = (
                    self._users.get(fact.user_id),
                    self._anonymous.get(fact.anonymous_id),
                    None,
                )
            else:
                continue
            if len(found := {it for it in ids if it is not None}) > 1 or ids[0] is None:
                contested |= found
        self._known |= identities.profiles(self._connection, contested)

    def _resolve(self, place: int, fact: Fact) -> int:
        user, anonymous = fact.user_id, fact.anonymous_id
        if fact.previous_id is not None:
            assert user is not None
            return self._alias(place, fact, user, fact.previous_id)
        if user is None:
            assert anonymous is not None
            by_device = self._find(self._anonymous, anonymous)
            return by_device if by_device is not None else self._create(fact, None, anonymous)
        by_user = self._find(self._users, user)
        if anonymous is None:
            return by_user if by_user is not None else self._create(fact, user, None)
        by_device = self._find(self._anonymous, anonymous)
        if by_user is None and by_device is None:
            return self._create(fact, user, anonymous)
        if by_user is None:
            assert by_device is not None
            if self._profile(by_device).is_claimed:
                return self._create(fact, user, None)
            return self._claim(by_device, user)
        if by_device is None:
            self._link("anonymous", anonymous, by_user)
            return by_user
        if by_device == by_user or self._profile(by_device).is_claimed:
            return by_user
        return self._merge(by_device, by_user, place)

    def _alias(self, place: int, fact: Fact, user: str, previous: str) -> int:
        by_user = self._find(self._users, user)
        other = self._find(self._users, previous)
        if other is None:
            other = self._find(self._anonymous, previous)
        if other is None:
            if by_user is None:
                return self._create(fact, user, previous)
            self._link("anonymous", previous, by_user)
            return by_user
        if other == by_user:
            return by_user
        if self._profile(other).is_claimed and not fact.is_server:
            self._refused[place] = "previousId"
            return by_user if by_user is not None else self._create(fact, user, None)
        if by_user is None:
            return self._claim(other, user)
        return self._merge(other, by_user, place)

    def _find(self, memory: dict[str, int], value: str) -> int | None:
        found = memory.get(value)
        if found is None or not self._redirects:
            return found
        while (further := self._redirects.get(found)) is not None:
            found = further
        return found

    def _profile(self, profile_id: int) -> Known:
        known = self._known.get(profile_id)
        if known is None:
            known = identities.profiles(self._connection, [profile_id])[profile_id]
            self._known[profile_id] = known
        return known

    def _create(self, fact: Fact, user: str | None, anonymous: str | None) -> int:
        profile_id = self._first + len(self._new)
        created_at = self._now if fact.accepted_at is None else fact.accepted_at
        external_id = user if user is not None else anonymous
        assert external_id is not None
        self._new.append(
            NewProfile(
                profile_id,
                external_id,
                created_at,
                self._memory.zone,
                self._memory._new_data_key(profile_id),
            )
        )
        self._known[profile_id] = Known(profile_id, created_at, external_id, user is not None)
        if user is not None:
            self._link("user", user, profile_id)
        if anonymous is not None:
            self._link("anonymous", anonymous, profile_id)
        return profile_id

    def _claim(self, profile_id: int, user: str) -> int:
        known = self._profile(profile_id)
        self._link("user", user, profile_id)
        if not known.is_claimed:
            known.is_claimed, known.external_id = True, user
            self._names[profile_id] = user
        return profile_id

    def _link(self, kind: str, value: str, profile_id: int) -> None:
        (self._users if kind == "user" else self._anonymous)[value] = profile_id
        self._links.append(Link(kind, value, profile_id, self._now))

    def _merge(self, a: int, b: int, place: int) -> int:
        """Make two profiles one and give the older."""
        first, second = self._profile(a), self._profile(b)
        winner, loser = (
            (first, second)
            if (first.created_at, first.id) <= (second.created_at, second.id)
            else (second, first)
        )
        self._redirects[loser.id] = winner.id
        self._merges.append(Merge(loser.id, winner.id, place))
        if loser.is_claimed and not winner.is_claimed:
            winner.is_claimed, winner.external_id = True, loser.external_id
            self._names[winner.id] = loser.external_id
        return winner.id

    def _write(self) -> None:
        connection = self._connection
        identities.add_profiles(connection, self._new)
        identities.add_links(connection, self._links)
        identities.name_profiles(connection, self._names)
        if self._merges:
            identities.redirect(connection, [(it.loser, it.winner) for it in self._merges])
            # Any id of a loser's may be in memory; merges are rare, so all of it goes.
            self._memory.forget()
