"""How an attempt begins: composed, looked at by the gates once more, committed before the call.

Composing happens outside the transaction, since it is slow; the gates are asked inside of it,
under the lock of the contact rows (P10). What a gate holds or drops gets its reason here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from channels.base import Provider
from engine.core.model import HOUR, Allow, Defer, Drop, Instant
from engine.failpoints import hit
from engine.release.playbook import Playbook
from engine.sending import answers
from engine.sending.answers import WAIT_MAX, Case, has_waited
from engine.sending.composing import Composed, Links, Unsendable, compose, data_keys
from engine.sending.last_look import last_look
from engine.store import queue
from engine.store.claims import Holding
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.queue import NO_DOUBT, WEBHOOK, Addressee, Doubt, Queued
from engine.vault import Vault

_texts = msgspec.json.Decoder(dict[str, str])

Verdict = tuple[int, str, str, Instant]
"""(message, status, reason, due) of one that is not called for now."""


@dataclass(frozen=True)
class Ready:
    """A composed message whose attempt is committed: the provider may be called."""

    queued: Queued
    composed: Composed
    address_hash: str
    doubt: Doubt = NO_DOUBT
    number: int = 0

    @property
    def went_to(self) -> str:
        """The hash of the address that is really called: in test mode not the addressee's."""
        return self.composed.went_to or self.address_hash

    def case(self, provider: Provider, *, is_transactional: bool, started_at: Instant) -> Case:
        """What the answer to this attempt is judged by."""
        return Case(
            self.queued, self.number, self.address_hash, provider.name, provider.capabilities,
            self.doubt, is_transactional, started_at,
        )  # fmt: skip


@dataclass(frozen=True)
class Begun:
    """What was claimed: how many were due, those that may be called for, how many are held."""

    n_due: int
    ready: Sequence[Ready] = ()
    n_held: int = 0


class Beginning:
    """Begins attempts for the outbox; called in a thread of its own, never in the sending loop."""

    def __init__(
        self,
        database: Database,
        *,
        vault: Vault,
        links: Links,
        write: Callable[[Callable[[Connection], Any]], Any],
        holding: Callable[[], Holding | None] = lambda: None,
        tell: Callable[..., None] = lambda connection, calls, *, now: None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._links = links
        self._write = write
        self._holding = holding
        self._tell = tell

    def waits(self, channel: str, lane: int, *, now: Instant) -> bool:
        """Whether a lane has a message that is due."""
        with self._database.read() as connection:
            return queue.waits(connection, channel, lane=lane, now=now, holding=self._holding())

    def begin(
        self,
        playbook: Playbook,
        provider: Provider,
        channel: str,
        lane: int,
        *,
        now: Instant,
        limit: int,
        as_due: bool,
    ) -> Begun:
        """Claim the next messages of a lane and commit their attempts.

        Args:
            as_due: Every message acts at its own due instant instead of `now`.
        """
        holding = self._holding()
        with self._database.read() as connection:
            rows = queue.queued(
                connection, channel, lane=lane, now=now, limit=limit, holding=holding
            )
            if not rows:
                return Begun(0)
            people = queue.addressees(connection, {row.profile_id for row in rows})
            keys = data_keys(connection, {it.id: it for it in people.values()})
        at = {row.id: row.due_at if as_due else now for row in rows}
        verdicts: list[Verdict] = []
        composed = self._composed(playbook, rows, people, keys, at, verdicts)

        def transaction(connection: Connection) -> list[Ready]:
            nonlocal composed, verdicts
            if holding is not None:
                ours = holding.still(connection)
                profiles = {row.id: row.profile_id for row in rows}
                composed = [it for it in composed if ours.has(it.queued.profile_id)]
                verdicts = [it for it in verdicts if ours.has(profiles[it[0]])]
            allowed = _allowed(
                connection, playbook, provider, channel, composed, people, at, verdicts, now=now
            )
            queue.decide(connection, verdicts)
            if channel == WEBHOOK:
                self._tell(connection, [it[0] for it in verdicts], now=now)
            numbers = queue.begin_attempts(
                connection,
                [
                    (
                        it.queued.id,
                        provider.name,
                        it.composed.digest,
                        at[it.queued.id],
                        bytes.fromhex(it.went_to) if it.went_to else None,
                    )
                    for it in allowed
                ],
            )
            return [
                Ready(it.queued, it.composed, it.went_to, it.doubt, numbers[it.queued.id])
                for it in allowed
                if it.queued.id in numbers
            ]

        ready: list[Ready] = self._write(transaction)
        hit("attempt commit")
        return Begun(len(rows), ready, len(verdicts))

    def _composed(
        self,
        playbook: Playbook,
        rows: Sequence[Queued],
        people: Mapping[int, Addressee],
        keys: Mapping[int, bytes],
        at: Mapping[int, Instant],
        verdicts: list[Verdict],
    ) -> list[Ready]:
        """The messages that can be made; the others get their verdict."""
        made: list[Ready] = []
        for row in rows:
            person = people.get(row.profile_id)
            try:
                if person is None or person.erased_at is not None:
                    raise Unsendable("erased")
                composed = compose(
                    row,
                    person,
                    playbook=playbook,
                    vault=self._vault,
                    keys=keys,
                    links=self._links,
                    now=at[row.id],
                )
            except Unsendable as why:
                verdicts.append((row.id, "dropped", str(why), row.due_at))
            except Exception as error:
                # Composing reads no clock and no network: it would fail again, before all others.
                why_not = f"it cannot be made: {type(error).__name__}: {error}"
                verdicts.append((row.id, "failed", why_not, row.due_at))
            else:
                address = _texts.decode(person.addresses).get(row.channel, "")
                made.append(Ready(row, composed, address))
        return made


def _allowed(
    connection: Connection,
    playbook: Playbook,
    provider: Provider,
    channel: str,
    composed: Sequence[Ready],
    people: Mapping[int, Addressee],
    at: Mapping[int, Instant],
    verdicts: list[Verdict],
    *,
    now: Instant,
) -> list[Ready]:
    """Those that every gate still lets pass, under the lock of their contact rows."""
    locked = queue.locked_contacts(
        connection,
        [(it.queued.channel, it.address_hash) for it in composed if it.address_hash],
        now=now,
    )
    hit("gate check")
    doubts = queue.doubts(connection, [it.queued.id for it in composed])
    allowed: list[Ready] = []
    for it in composed:
        row, instant = it.queued, at[it.queued.id]
        doubt = doubts.get(row.id, NO_DOUBT)
        answer = last_look(
            row, people[row.profile_id], locked.get(it.address_hash), playbook.program, instant
        )
        # One that may have arrived already is not called dropped or failed.
        ended = "unknown" if doubt.n_ambiguous else None
        match answer:
            case Defer(until, why):
                verdicts.append((row.id, "queued", why, until))
            case Drop(why):
                verdicts.append((row.id, ended or "dropped", why, row.due_at))
            case Allow() if has_waited(row, now=instant):
                why = f"it waited more than {WAIT_MAX // HOUR} h for {provider.name}"
                verdicts.append((row.id, ended or "failed", why, row.due_at))
            case Allow() if not answers.may_repeat(
                provider.capabilities,
                is_transactional=is_transactional(playbook, row),
                doubt=doubt,
                at=instant,
            ):
                why = f"nobody knows whether {provider.name} took it, and its key has expired"
                verdicts.append((row.id, "unknown", why, row.due_at))
            case Allow():
                allowed.append(Ready(row, it.composed, it.address_hash, doubt))
    return allowed


def is_transactional(playbook: Playbook, it: Queued) -> bool:
    """Whether silence would be worse for this message than a copy."""
    topic = playbook.program.topics.get(it.topic)
    return topic is not None and topic.is_transactional
