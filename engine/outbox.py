"""Takes messages whose turn has come, asks the gates once more, calls the provider, records.

One message's way: queued -> (last look at suppression, erasure, consent, quiet hours, expiry, in
the transaction that commits its attempt) attempting -> the provider's answer -> sent, failed,
unknown, or queued again. The attempt is durable before the call, so a crash leaves it ambiguous,
never forgotten. Channels do not wait for each other: each has its own lane and its own pace.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from channels.base import (
    Accepted,
    Ambiguous,
    NotSent,
    Provider,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from engine.composing import Composed, Links, Unsendable, compose, data_keys
from engine.core.model import (
    MINUTE,
    SECOND,
    Allow,
    Defer,
    Drop,
    Instant,
)
from engine.failpoints import hit
from engine.last_look import last_look
from engine.playbook import Playbook
from engine.store import queue
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.queue import Outcome, Queued
from engine.vault import Vault

LANE_WIDTH: Final = 10
"""Calls in flight per channel."""
CLAIM: Final = 200
GROUP: Final = 100
"""Outcomes committed together at most: what a crash can leave ambiguous."""
ATTEMPTS_MAX: Final = 8
BACKOFF_MAX: Final = 5 * MINUTE
PAUSE: Final = 5 * MINUTE
"""How long a channel rests after its provider refused our account or settings."""

_texts = msgspec.json.Decoder(dict[str, str])


class Drained(msgspec.Struct, frozen=True):
    """What one pass over one channel did."""

    n_attempts: int = 0
    n_sent: int = 0
    n_held: int = 0

    @property
    def is_idle(self) -> bool:
        return not (self.n_attempts or self.n_held)


@dataclass(frozen=True)
class Ready:
    """A composed message with its attempt's number and its address hash."""

    queued: Queued
    composed: Composed
    address_hash: str
    number: int = 0


class Outbox:
    """Delivers what is queued.

    Args:
        providers: The open provider of each channel.
        write: Runs a function in a write transaction (the process's single writer thread).
        rng: Spreads retries.
        on_sent: Told of every accepted message; the sandbox's echo is scheduled there.
    """

    def __init__(
        self,
        database: Database,
        *,
        vault: Vault,
        providers: Mapping[str, Provider],
        links: Links,
        rng: Random,
        write: Callable[[Callable[[Connection], Any]], Any] | None = None,
        on_sent: Callable[[Provider, Composed, Instant], None] | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._providers = providers
        self._links = links
        self._rng = rng
        self._write = write or self._in_own_transaction
        self._on_sent = on_sent
        self._paused_until: dict[str, Instant] = {}
        self._unrecorded: dict[str, list[Outcome]] = {}

    def recover(self, playbook: Playbook, *, now: Instant) -> int:
        """Settle the attempts that a dead process left open; give how many.

        Marketing is at most once: the message becomes `unknown`. Transactional topics, and
        providers that honour idempotency keys, are tried again.
        """
        why = "the process stopped before the provider's answer was recorded"

        def settle(connection: Connection) -> int:
            rows = queue.unfinished(connection)
            outcomes = [
                Outcome(
                    message,
                    number,
                    "ambiguous",
                    "queued"
                    if number < ATTEMPTS_MAX and self._may_repeat(playbook, channel, topic)
                    else "unknown",
                    why,
                    now,
                    now,
                    detail=why,
                )
                for message, number, topic, channel in rows
            ]
            queue.finish_attempts(connection, outcomes)
            return len(rows)

        found: int = self._write(settle)
        return found

    async def drain(
        self,
        playbook: Playbook,
        channel: str,
        *,
        now: Instant,
        limit: int = CLAIM,
        as_due: bool = False,
    ) -> Drained:
        """Attempt the next messages of a channel and wait for their outcomes to be committed.

        Args:
            as_due: Every message acts at its own due instant instead of `now`: a replay on the
                virtual clock, where nothing is ever late.
        """
        await self._record(channel, self._unrecorded.get(channel, ()))
        if self._paused_until.get(channel, 0) > now:
            return Drained()
        ready, held = await asyncio.to_thread(self._begin, playbook, channel, now, limit, as_due)
        if not ready:
            return Drained(n_held=held)
        outcomes = await self._deliver(playbook, channel, ready, now, as_due)
        sent = sum(it.status == "sent" for it in outcomes)
        return Drained(len(ready), sent, held)

    def _begin(
        self, playbook: Playbook, channel: str, now: Instant, limit: int, as_due: bool
    ) -> tuple[list[Ready], int]:
        """Compose outside the transaction, then look at the gates and commit the attempts."""
        with self._database.read() as connection:
            rows = queue.queued(connection, channel, now=now, limit=limit)
            if not rows:
                return [], 0
            people = queue.addressees(connection, {row.profile_id for row in rows})
            keys = data_keys(connection, {it.id: it for it in people.values()})
        composed: list[Ready] = []
        verdicts: list[tuple[int, str, str, Instant]] = []
        for row in rows:
            person = people.get(row.profile_id)
            try:
                if person is None or person.erased_at is not None:
                    raise Unsendable("erased")
                made = compose(
                    row,
                    person,
                    playbook=playbook,
                    vault=self._vault,
                    keys=keys,
                    links=self._links,
                    now=row.due_at if as_due else now,
                )
            except Unsendable as why:
                verdicts.append((row.id, "dropped", str(why), row.due_at))
            except Exception as error:
                # Composing reads no clock and no network: it would fail again, before all others.
                why_not = f"it cannot be made: {type(error).__name__}: {error}"
                verdicts.append((row.id, "failed", why_not, row.due_at))
            else:
                key = _texts.decode(person.addresses).get(channel, "")
                composed.append(Ready(row, made, key))

        provider = self._providers[channel].name

        def transaction(connection: Connection) -> list[Ready]:
            locked = queue.locked_contacts(
                connection,
                [(channel, it.address_hash) for it in composed if it.address_hash],
                now=now,
            )
            hit("gate check")
            allowed: list[Ready] = []
            for it in composed:
                person = people[it.queued.profile_id]
                at = it.queued.due_at if as_due else now
                contact = locked.get(it.address_hash)
                answer = last_look(it.queued, person, contact, playbook.program, at)
                match answer:
                    case Allow():
                        allowed.append(it)
                    case Defer(until, why):
                        verdicts.append((it.queued.id, "queued", why, until))
                    case Drop(why):
                        verdicts.append((it.queued.id, "dropped", why, it.queued.due_at))
            queue.decide(connection, verdicts)
            numbers = queue.begin_attempts(
                connection,
                [
                    (
                        it.queued.id,
                        provider,
                        it.composed.digest,
                        it.queued.due_at if as_due else now,
                    )
                    for it in allowed
                ],
            )
            return [
                Ready(it.queued, it.composed, it.address_hash, numbers[it.queued.id])
                for it in allowed
                if it.queued.id in numbers
            ]

        begun: list[Ready] = self._write(transaction)
        hit("attempt commit")
        return begun, len(verdicts)

    async def _deliver(
        self,
        playbook: Playbook,
        channel: str,
        ready: Sequence[Ready],
        now: Instant,
        as_due: bool,
    ) -> list[Outcome]:
        """Call the provider for each; commit outcomes as they come, in groups.

        No outcome waits for another recipient's call.
        """
        provider = self._providers[channel]
        lane = asyncio.Semaphore(LANE_WIDTH)
        arrived: asyncio.Queue[Outcome | BaseException] = asyncio.Queue()

        async def call(it: Ready) -> None:
            try:
                async with lane:
                    try:
                        receipt = await provider.deliver(it.composed.message)
                    except Exception as error:
                        receipt = Ambiguous(f"{type(error).__name__}: {error}")
                hit("bytes sent")
                at = it.queued.due_at if as_due else now
                arrived.put_nowait(self._outcome(playbook, provider, it, receipt, at))
            except BaseException as error:
                arrived.put_nowait(error)

        calls = [asyncio.create_task(call(it)) for it in ready]
        outcomes: list[Outcome] = []
        failures: list[BaseException] = []
        try:
            while len(outcomes) + len(failures) < len(ready):
                answers = [await arrived.get()]
                while len(answers) < GROUP and not arrived.empty():
                    answers.append(arrived.get_nowait())
                hit("reply unread")
                group = [it for it in answers if isinstance(it, Outcome)]
                await self._record(channel, group)
                outcomes += group
                failures += [it for it in answers if isinstance(it, BaseException)]
                for failure in failures:
                    if not isinstance(failure, Exception):
                        raise failure
        finally:
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        if failures:
            raise failures[0]
        return outcomes

    async def _record(self, channel: str, group: Sequence[Outcome]) -> None:
        """Commit outcomes; what cannot be committed now is kept, and recorded before new calls."""
        if not group:
            return
        waiting = self._unrecorded.setdefault(channel, [])
        if group is not waiting:
            waiting += group
        await asyncio.to_thread(self._finish, list(waiting))
        waiting.clear()

    def _finish(self, group: Sequence[Outcome]) -> None:
        self._write(lambda connection: queue.finish_attempts(connection, group))
        hit("outcome commit")

    def _outcome(
        self, playbook: Playbook, provider: Provider, it: Ready, receipt: Receipt, now: Instant
    ) -> Outcome:
        """What an answer means for the message."""
        message, number = it.queued.id, it.number
        may_repeat = self._may_repeat(playbook, it.queued.channel, it.queued.topic)

        def settled(outcome: str, status: str, reason: str, **more: Any) -> Outcome:
            due_at = more.pop("due_at", it.queued.due_at)
            return Outcome(message, number, outcome, status, reason, due_at, now, **more)

        def again(outcome: str, why: str, wait: int) -> Outcome:
            due_at = now + wait
            if number >= ATTEMPTS_MAX:
                return settled(outcome, "failed", f"gave up after {number} attempts: {why}")
            if due_at >= it.queued.expires_at:
                return settled(outcome, "dropped", f"expired while waiting to try again: {why}")
            return settled(outcome, "queued", why, due_at=due_at, detail=why)

        match receipt:
            case Accepted(provider_id):
                if self._on_sent is not None:
                    self._on_sent(provider, it.composed, now)
                return settled("accepted", "sent", "", provider_id=provider_id)
            case RefusedBy(scope, code, text, bounce):
                why = f"{provider.name} refused it ({code}): {text}"
                if scope in ("config", "account"):
                    self._paused_until[it.queued.channel] = now + PAUSE
                    return settled("refused", "queued", why, due_at=now + PAUSE, detail=why)
                return settled(
                    "refused",
                    "failed",
                    why,
                    detail=why,
                    suppress="hard bounce" if bounce == "hard" else "",
                    address_hash=it.address_hash,
                )
            case Throttled(seconds, why):
                wait = self._backoff(number) if seconds is None else int(seconds * SECOND)
                return again("throttled", why or "the provider asked us to slow down", wait)
            case NotSent(why):
                return again("not_sent", why, self._backoff(number))
            case Ambiguous(why):
                if may_repeat:
                    return again("ambiguous", why, self._backoff(number))
                return settled("ambiguous", "unknown", why, detail=why)

    def _may_repeat(self, playbook: Playbook, channel: str, topic: str) -> bool:
        """Whether an ambiguous call may be made again: it cannot double, or silence is worse."""
        provider = self._providers.get(channel)
        known = playbook.program.topics.get(topic)
        return (provider is not None and provider.capabilities.idempotency_hours > 0) or (
            known is not None and known.is_transactional
        )

    def _backoff(self, number: int) -> int:
        """Full jitter up to a bound that doubles: retries of many do not come as one wave."""
        ceiling = min(BACKOFF_MAX, SECOND * 2**number)
        return SECOND + int(self._rng.random() * ceiling)

    def _in_own_transaction(self, function: Callable[[Connection], Any]) -> Any:
        with self._database.write() as connection:
            return function(connection)
