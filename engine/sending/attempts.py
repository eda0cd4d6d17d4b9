"""How an attempt begins: composed, looked at by the gates once more, committed before the call.

Composing happens outside the transaction, since it is slow; the gates are asked inside of it,
under the lock of the contact rows (P10). What a gate holds or drops gets its reason here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from channels.base import Provider
from channels.mailboxes import domain_of, label_of
from channels.warm_up import WarmUp
from engine.core.errors import StoreError
from engine.core.journeys.recommend import NOTES
from engine.core.model.gates import Allow, Defer, Drop
from engine.core.model.instants import HOUR, MINUTE, Instant
from engine.failpoints import hit
from engine.learning.picking import Picker
from engine.release.playbook import Playbook
from engine.sending import answers, warming
from engine.sending.answers import WAIT_MAX, has_waited
from engine.sending.composing import Links, Unsendable, compose, data_keys
from engine.sending.last_look import last_look
from engine.sending.pacing import given_back, paced
from engine.sending.ready import Ready, Verdict
from engine.sending.repicking import Lacking, repicked
from engine.sending.routes import Route, warm_up_of
from engine.store import queue
from engine.store.claims import Holding
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.queue import NO_DOUBT, TRANSACTIONAL, WEBHOOK, Addressee, Queued
from engine.vault import Vault

_texts = msgspec.json.Decoder(dict[str, str])

PUT_OFF: Final = 1_000
"""So many messages are put off to another day at once."""
STOPPED: Final = "its campaign is paused: too many complaints or hard bounces"
STOPPED_FOR: Final = 15 * MINUTE
"""What a paused campaign has queued is looked at again after so long."""


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
        picker: Picker | None = None,
    ) -> None:
        self._picker = picker or Picker()
        self._database = database
        self._vault = vault
        self._links = links
        self._write = write
        self._holding = holding
        self._tell = tell
        self._ceilings = warming.Ceilings()

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
        via: Route | None = None,
    ) -> Begun:
        """Claim the next messages of a lane and commit their attempts.

        Args:
            provider: The one that is called: of the channel, or of the one that `via` names.
            as_due: Every message acts at its own due instant instead of `now`.
        """
        holding = self._holding()
        route = via or Route(channel)
        plan = None if as_due or lane == TRANSACTIONAL else warm_up_of(playbook, route.account)
        with self._database.read() as connection:
            left = (
                limit
                if plan is None
                else min(limit, self._ceilings.left(connection, route, plan, now=now))
            )
            # What is over today's ceiling is put off without being composed, many at a time.
            rows = queue.queued(
                connection, channel, lane=lane, now=now, limit=left or PUT_OFF, holding=holding
            )
            if not rows:
                return Begun(0)
            if not left and plan is not None:
                return Begun(len(rows), n_held=self._put_off(rows, route, plan, now=now))
            people = queue.addressees(connection, {row.profile_id for row in rows})
            keys = data_keys(connection, {it.id: it for it in people.values()})
            at = {row.id: row.due_at if as_due else now for row in rows}
            verdicts: list[Verdict] = []
            rows, contexts = self._repicked(connection, playbook, rows, at, verdicts)
        made = self._composed(playbook, route, rows, people, keys, at, verdicts)
        granted = paced(route, made, verdicts, now=now)
        composed: Sequence[Ready] = granted

        def transaction(connection: Connection) -> list[Ready]:
            nonlocal composed, verdicts
            if holding is not None:
                ours = holding.still(connection)
                profiles = {row.id: row.profile_id for row in rows}
                composed = [it for it in composed if ours.has(it.queued.profile_id)]
                verdicts = [it for it in verdicts if ours.has(profiles[it[0]])]
            allowed = _allowed(
                connection, playbook, provider, route, composed, people, at, verdicts, now=now
            )
            if plan is not None:
                allowed = self._ceilings.within(connection, route, plan, allowed, verdicts, now=now)
            queue.decide(connection, verdicts)
            if channel == WEBHOOK:
                self._tell(connection, [it[0] for it in verdicts], now=now)
            numbers = queue.begin_attempts(
                connection,
                [
                    queue.Beginning(
                        it.queued.id,
                        provider.name,
                        it.composed.digest,
                        at[it.queued.id],
                        bytes.fromhex(it.went_to) if it.went_to else None,
                        route.account,
                        label_of(it.domain, named=route.named_domains),
                    )
                    for it in allowed
                ],
            )
            # Only of those that are ours to send: another's words stay as they went out.
            changed = {it: contexts[it] for it in numbers if it in contexts}
            queue.set_contexts(connection, changed)
            return [
                replace(it, address_hash=it.went_to, number=numbers[it.queued.id])
                for it in allowed
                if it.queued.id in numbers
            ]

        ready: list[Ready] = []
        try:
            ready = self._write(transaction)
        finally:
            given_back(route, granted=granted, ready=ready)
        hit("attempt commit")
        return Begun(len(rows), ready, len(verdicts))

    def _put_off(self, rows: Sequence[Queued], route: Route, plan: WarmUp, *, now: Instant) -> int:
        """Let messages wait for the next day's ceiling; give how many."""
        verdicts = [warming.put_off(it.id, route, plan, now=now) for it in rows]
        self._write(lambda connection: queue.decide(connection, verdicts))
        return len(rows)

    def _repicked(
        self,
        connection: Connection,
        playbook: Playbook,
        rows: Sequence[Queued],
        at: Mapping[int, Instant],
        verdicts: list[Verdict],
    ) -> tuple[list[Queued], dict[int, str]]:
        """(the messages with picks that can be had now, the contexts that changed by that)."""
        asked = [row.id for row in rows if f'"{NOTES}"' in row.context]
        if not asked:
            return list(rows), {}
        doubted = queue.doubts(connection, asked)
        kept: list[Queued] = []
        changed: dict[int, str] = {}
        for row in rows:
            if row.id in doubted or f'"{NOTES}"' not in row.context:
                kept.append(row)
                continue
            try:
                context = repicked(connection, playbook, row, picker=self._picker, now=at[row.id])
            except Lacking as why:
                verdicts.append((row.id, "dropped", str(why), row.due_at))
                continue
            except StoreError:
                raise  # the database's trouble is no message's
            except Exception as error:
                # A model that cannot be read must hold up nobody else's message.
                why_not = f"its picks cannot be looked at: {type(error).__name__}: {error}"
                verdicts.append((row.id, "failed", why_not, row.due_at))
                continue
            if context != row.context:
                changed[row.id] = context
                row = msgspec.structs.replace(row, context=context)
            kept.append(row)
        return kept, changed

    def _composed(
        self,
        playbook: Playbook,
        route: Route,
        rows: Sequence[Queued],
        people: Mapping[int, Addressee],
        keys: Mapping[int, bytes],
        at: Mapping[int, Instant],
        verdicts: list[Verdict],
    ) -> list[Ready]:
        """The messages that can be made; the others get their verdict."""
        made: list[Ready] = []
        for row in rows:
            if row.campaign in playbook.stopped and not is_transactional(playbook, row.topic):
                verdicts.append((row.id, "queued", STOPPED, at[row.id] + STOPPED_FOR))
                continue
            person = people.get(row.profile_id)
            try:
                if person is None or person.erased_at is not None:
                    raise Unsendable("erased")
                composed = compose(
                    msgspec.structs.replace(row, account=route.account),
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
                to = composed.message.to
                domain = domain_of(to) if row.channel == "email" else ""
                made.append(Ready(row, composed, address, account=route.account, domain=domain))
        return made


def _allowed(
    connection: Connection,
    playbook: Playbook,
    provider: Provider,
    route: Route,
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
        known = doubts.get(row.id, {})
        doubt = known.get(route.account, NO_DOUBT)
        n_elsewhere = sum(each.n_ambiguous for name, each in known.items() if name != route.account)
        answer = last_look(
            row, people[row.profile_id], locked.get(it.address_hash), playbook.program, instant
        )
        # One that may have arrived already is not called dropped or failed.
        ended = "unknown" if known else None
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
                is_transactional=is_transactional(playbook, row.topic),
                doubt=doubt,
                n_elsewhere=n_elsewhere,
                at=instant,
            ):
                if n_elsewhere and route.account != row.account:
                    # Only the key of who may have it protects from a copy: it waits for that one,
                    # and if the key runs out meanwhile it ends as unknown there.
                    own = row.account
                    why = f"{own} may have taken it, so it waits for {own} to come back"
                    verdicts.append((row.id, "queued", why, route.own_opens_at))
                    continue
                why = f"nobody knows whether {provider.name} took it, and its key has expired"
                verdicts.append((row.id, "unknown", why, row.due_at))
            case Allow():
                allowed.append(replace(it, doubt=doubt, n_elsewhere=n_elsewhere))
    return allowed


def is_transactional(playbook: Playbook, topic: str) -> bool:
    """Whether silence would be worse for messages of a topic than a copy."""
    known = playbook.program.topics.get(topic)
    return known is not None and known.is_transactional
