"""Takes messages whose turn has come, calls the provider, and records what it answered.

One message's way: queued -> (`attempts`: the gates once more, in the transaction that commits its
attempt) attempting -> (`answers`: what the provider said) sent, failed, unknown, or queued again.
The attempt is durable before the call, so a crash leaves it ambiguous, never forgotten. Channels
do not wait for each other, and what they may take now is said by their `lanes`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.base import Ambiguous, Provider, Random, Receipt
from engine.core.model.instants import SECOND, Instant
from engine.failpoints import hit
from engine.hearing.attribution import Speaker
from engine.hearing.catching_up import catch_up
from engine.hearing.settling import settle_reported
from engine.learning.picking import Picker
from engine.release.playbook import Playbook
from engine.sending import answers, recovering, routes
from engine.sending.answers import Case
from engine.sending.attempts import Beginning, is_transactional
from engine.sending.composing import Composed, Links
from engine.sending.lanes import LANES, PLACES, Pace, Paces
from engine.sending.placing import place
from engine.sending.ready import Ready
from engine.sending.sent_events import is_asked_for, record_sent
from engine.sending.webhook_answers import tell_journeys
from engine.store import queue
from engine.store.claims import Holding
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.store.queue import TRANSACTIONAL, WEBHOOK, Outcome
from engine.vault import Vault

LANE_WIDTH: Final = 64
"""Calls in flight per lane: at 50 ms a call 1,280 a second. A provider may hold fewer sockets."""
CALL_SECONDS_MAX: Final = 90
"""No call lasts longer: providers have shorter limits of their own, and one may have a bug."""
GROUP: Final = 100
"""Outcomes committed together at most."""


class Drained(msgspec.Struct, frozen=True):
    """What one pass did. `opens_at` is when a lane may go on whose messages wait for their pace:
    the very instant of the pass where only the rate holds them."""

    n_attempts: int = 0
    n_sent: int = 0
    n_held: int = 0
    opens_at: Instant | None = None

    @property
    def is_idle(self) -> bool:
        return not (self.n_attempts or self.n_held)


class Outbox:
    """Delivers what is queued.

    Args:
        providers: The open provider of each channel.
        write: Runs a function in a write transaction (the process's single writer thread).
        rng: Spreads retries.
        on_sent: Told of every accepted message; the sandbox's echo is scheduled there.
        paces: The channels' rates and breakers, where they outlive this object.
        clock: Gives the present while calls are made. Without it time stands still during a pass,
            and rates, which need time to pass, are not waited for.
        holding: Gives the partitions whose messages are ours, where several workers share them.
        log: Where the answers of webhooks' calls go; without one no journey hears of them.
        call_seconds_max: No call lasts longer; with workers, no longer than a third of the lease.
        picker: Looks again at what recommenders picked; shared with the ticker, it learns once.
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
        paces: Paces | None = None,
        clock: Callable[[], Instant] | None = None,
        holding: Callable[[], Holding | None] = lambda: None,
        log: EventLog | None = None,
        call_seconds_max: float = CALL_SECONDS_MAX,
        picker: Picker | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._providers = providers
        self._rng = rng
        self._write = write or self._in_own_transaction
        self._on_sent = on_sent
        self.paces = paces or Paces(rng=rng)
        self._clock = clock
        self._call_seconds_max = call_seconds_max
        self._beginning = Beginning(
            database, vault=vault, links=links, write=self._write, holding=holding, tell=self._tell,
            picker=picker,
        )  # fmt: skip
        self._log = log
        self._records_sent = False
        self._unrecorded: dict[str, list[Outcome]] = {}
        self._recording: dict[str, asyncio.Lock] = {}

    @property
    def channels(self) -> Sequence[str]:
        """The channels it has a provider for."""
        return tuple(self._providers)

    def recover(self, playbook: Playbook, *, now: Instant, holding: Holding | None = None) -> int:
        """Settle the attempts that a dead process left open (`recovering`); give how many."""

        def settle(connection: Connection) -> int:
            ours = None if holding is None else holding.still(connection)
            rows = queue.unfinished(connection, ours)
            known = queue.doubts(connection, [row[0] for row in rows])
            outcomes = recovering.settled(
                rows, known, playbook=playbook, providers=self._providers, now=now
            )
            queue.finish_attempts(connection, outcomes)
            settle_reported(connection, [it.message for it in outcomes], now=now)
            self._tell(connection, [row[0] for row in rows if row[3] == WEBHOOK], now=now)
            return len(rows)

        found: int = self._write(settle)
        return found

    async def drain(
        self,
        playbook: Playbook,
        channel: str,
        *,
        now: Instant,
        limit: int = PLACES,
        as_due: bool = False,
    ) -> Drained:
        """Attempt the next messages of a channel and wait for their outcomes to be committed.

        Transactional messages first, `limit` of each lane at most.

        Args:
            as_due: Every message acts at its own due instant instead of `now`: a replay on the
                virtual clock, where nothing is ever late and no pace is kept.
        """
        done = Drained()
        for lane in LANES:
            ready, more = await self.begin(
                playbook, channel, lane, now=now, limit=limit, as_due=as_due
            )
            outcomes = await self.deliver(playbook, channel, lane, ready, now=now, as_due=as_due)
            done = Drained(
                done.n_attempts + len(outcomes),
                done.n_sent + sum(it.status == "sent" for it in outcomes),
                done.n_held + more.n_held,
                done.opens_at or more.opens_at,
            )
        return done

    async def begin(
        self,
        playbook: Playbook,
        channel: str,
        lane: int,
        *,
        now: Instant,
        limit: int = PLACES,
        as_due: bool = False,
    ) -> tuple[Sequence[Ready], Drained]:
        """Commit attempts for as many messages of a lane as may be called for now.

        All that is given must be delivered. `Drained` says what was held, and when to come back.
        """
        names = routes.routes(playbook, channel, open_=self._providers)
        for name in names:
            await self._record(name, ())
        own, account, granted = self.paces.of(channel), channel, limit
        if not as_due:
            account, granted = routes.granted(self.paces, names, lane, wanted=limit, now=now)
        if not granted:
            is_waiting = await asyncio.to_thread(self._beginning.waits, channel, lane, now=now)
            if lane == TRANSACTIONAL:
                own.first_waits(is_waiting)
            opens_at = routes.opens_at(self.paces, names, now=now)
            return (), Drained(opens_at=opens_at if is_waiting else None)
        ready: Sequence[Ready] = ()
        try:
            begun = await asyncio.to_thread(
                self._beginning.begin,
                playbook,
                self._providers[account],
                channel,
                lane,
                now=now,
                limit=granted,
                as_due=as_due,
                via=None
                if as_due
                else routes.route_of(playbook, self.paces, account, own=channel, now=now),
            )
            ready = begun.ready
        finally:
            if not as_due:
                self.paces.of(account).give_back(lane, granted - len(ready))
        if lane == TRANSACTIONAL and account == channel:
            own.first_waits(begun.n_due == granted < limit)
        return ready, Drained(n_held=begun.n_held)

    async def deliver(
        self,
        playbook: Playbook,
        channel: str,
        lane: int,
        ready: Sequence[Ready],
        *,
        now: Instant,
        as_due: bool = False,
        width: asyncio.Semaphore | None = None,
    ) -> list[Outcome]:
        """Call the provider for each; commit outcomes as they come, in groups.

        No outcome waits for another recipient's call.

        Args:
            width: Bounds the calls in flight, where several deliveries of a lane run at once.
        """
        account = ready[0].account if ready else channel  # one call of `begin` goes one way
        provider = self._providers[account]
        self._records_sent = is_asked_for(playbook.program)
        pace = None if as_due else self.paces.of(account)
        width = width or asyncio.Semaphore(LANE_WIDTH)
        arrived: asyncio.Queue[Outcome | BaseException] = asyncio.Queue()

        async def call(it: Ready) -> None:
            is_answered = is_taken = False
            try:
                async with width:
                    is_taken = True
                    started_at = await self._turn(pace, it.domain, now)
                    receipt = await self._called(provider, it)
                    hit("bytes sent")
                    at = it.queued.due_at if as_due else self._present(now)
                    if pace is not None and channel == WEBHOOK:
                        pace.drop(lane)  # one receiver's trouble says nothing of the others
                    elif pace is not None:
                        pace.record(lane, receipt, started_at=started_at, now=at, domain=it.domain)
                    is_answered = True
                arrived.put_nowait(self._outcome(playbook, provider, it, receipt, at))
            except BaseException as error:
                arrived.put_nowait(error)
            finally:
                if pace is not None and not is_answered:
                    pace.drop(lane)
                if pace is not None and it.domain and not is_taken:
                    pace.domains.drop(it.domain)

        calls = [asyncio.create_task(call(it)) for it in ready]
        outcomes: list[Outcome] = []
        failures: list[BaseException] = []
        try:
            while len(outcomes) + len(failures) < len(ready):
                arrivals = [await arrived.get()]
                while len(arrivals) < GROUP and not arrived.empty():
                    arrivals.append(arrived.get_nowait())
                hit("reply unread")
                group = [it for it in arrivals if isinstance(it, Outcome)]
                await self._record(account, group)
                outcomes += group
                failures += [it for it in arrivals if isinstance(it, BaseException)]
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

    def _present(self, now: Instant) -> Instant:
        return now if self._clock is None else self._clock()

    async def _turn(self, pace: Pace | None, domain: str, now: Instant) -> Instant:
        """Wait until the rates let one more call start; the instant at which it does."""
        if pace is None:
            return now
        if self._clock is None:
            return pace.domains.take(domain, now=now) if domain else now
        present = self._clock()
        start = pace.take(now=present)
        if domain:
            start = pace.domains.take(domain, now=start)
        if start > present:
            await asyncio.sleep((start - present) / SECOND)
        return start

    async def _called(self, provider: Provider, it: Ready) -> Receipt:
        """The provider's answer; whatever goes wrong in between leaves its fate open."""
        try:
            async with asyncio.timeout(self._call_seconds_max):
                return await provider.deliver(it.composed.message)
        except TimeoutError:
            return Ambiguous(f"{provider.name} did not answer within {self._call_seconds_max:g} s")
        except Exception as error:
            return Ambiguous(f"{type(error).__name__}: {error}")

    async def _record(self, channel: str, group: Sequence[Outcome]) -> None:
        """Commit outcomes; what cannot be committed now is kept, and recorded before new calls."""
        waiting = self._unrecorded.setdefault(channel, [])
        waiting += group
        if not waiting:
            return
        async with self._recording.setdefault(channel, asyncio.Lock()):
            taken = list(waiting)
            if taken:
                await asyncio.to_thread(self._finish, channel, taken)
                del waiting[: len(taken)]

    def _finish(self, channel: str, group: Sequence[Outcome]) -> None:
        def finish(connection: Connection) -> None:
            finished = queue.finish_attempts(connection, group)
            place(connection, finished, vault=self._vault, now=max(it.at for it in group))
            if channel != WEBHOOK and self._log is not None:
                provider = self._providers[channel]
                speaker = Speaker(channel, provider.channel, provider.name)
                catch_up(connection, finished, speaker=speaker, log=self._log)
            if self._records_sent and self._log is not None and channel != WEBHOOK:
                now = max(it.at for it in group)
                record_sent(connection, finished, log=self._log, now=now)
            if channel == WEBHOOK:
                self._tell(connection, [it.message for it in group], now=max(i.at for i in group))

        self._write(finish)
        hit("outcome commit")

    def _tell(self, connection: Connection, calls: Sequence[int], *, now: Instant) -> None:
        """Let the journeys know what came of their webhooks' calls."""
        if calls and self._log is not None:
            tell_journeys(connection, calls, log=self._log, now=now)

    def _outcome(
        self, playbook: Playbook, provider: Provider, it: Ready, receipt: Receipt, now: Instant
    ) -> Outcome:
        """What an answer means for the message."""
        case: Case = it.case(
            provider, is_transactional=is_transactional(playbook, it.queued.topic), started_at=now
        )
        if len(routes.routes(playbook, it.account, open_=self._providers)) > 1:
            case = msgspec.structs.replace(case, has_backup=True)
        outcome = answers.judged(case, receipt, rng=self._rng, now=now)
        if outcome.status != "sent":
            return outcome
        if self._on_sent is not None:
            self._on_sent(provider, it.composed, now)
        return msgspec.structs.replace(outcome, reason=it.note)

    def _in_own_transaction(self, function: Callable[[Connection], Any]) -> Any:
        with self._database.write() as connection:
            return function(connection)
