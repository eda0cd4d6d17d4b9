"""An outage of one provider, hours of it, on a virtual clock: who waited, who was lost, how fast.

The sending loop is the real one, on a real database file; only time and the providers are ours.
`python -m tests.rig.outage --rate 100 --hours 2` prints the figures that the docs quote.
"""

import argparse
import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt
from engine.core.model.instants import SECOND, Instant
from engine.sending.lanes import Paces
from engine.sending.loop import keep_sending
from engine.sending.outbox import Outbox
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.rig.crowd import OFFER, RECEIPT, TEXT, Crowd, Server
from tests.rig.stage import NOON, Stage
from tests.rig.virtual import VirtualLoop, run_virtually

IDLE_SECONDS = 0.5
CALL_SECONDS = 0.08
HANG_SECONDS = 10.0
STEP_SECONDS = 1
N_PEOPLE = 200


@dataclass
class Weather:
    """From when to when a provider is down, in seconds; it hangs for a share of the calls."""

    down_from: float = 0.0
    down_until: float = 0.0
    hang_share: float = 0.1


class Fragile(Server):
    """Takes messages in 80 ms, but for its outage."""

    weather = Weather()

    def answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        return Accepted(f"p{message.id}"), True

    async def deliver(self, message: OutMessage) -> Receipt:
        now, weather = self.present(), self.weather
        if not weather.down_from <= now < weather.down_until:
            receipt = await super().deliver(message)
            await asyncio.sleep(CALL_SECONDS)
            return receipt
        self.calls.append((now, message.id))
        if self.rng.random() < weather.hang_share:
            await asyncio.sleep(HANG_SECONDS)
            self.ambiguous += 1
            return Ambiguous("no answer")
        return NotSent("connection refused")


@dataclass
class Report:
    """What came of a simulated day. Delays are from due to the call that was taken, in seconds."""

    statuses: dict[str, dict[str, int]] = field(default_factory=dict)
    delays: dict[str, list[float]] = field(default_factory=dict)
    email_calls: list[float] = field(default_factory=list)
    n_calls_in_outage: int = 0
    n_ambiguous: int = 0
    back_at: float = 0.0

    def p99(self, kind: str) -> float:
        ordered = sorted(self.delays[kind])
        return ordered[int(0.99 * (len(ordered) - 1))]

    def most_calls_within(self, seconds: float) -> int:
        """The most calls by e-mail that began in any span of this length."""
        calls, most, first = sorted(self.email_calls), 0, 0
        for last, at in enumerate(calls):
            while at - calls[first] >= seconds - 1e-9:
                first += 1
            most = max(most, last - first + 1)
        return most

    def calls_a_second_after(self, seconds: float, *, within: float = 5.0) -> float:
        """Calls a second by e-mail, so long after the first that was taken after the outage."""
        start = self.back_at + seconds
        return sum(start <= at < start + within for at in self.email_calls) / within


def simulate(
    stage: Stage,
    *,
    rate: float,
    limit: tuple[int, int],
    outage_seconds: float,
    before_seconds: float = 300.0,
    after_seconds: float = 3600.0,
    idempotency_hours: int = 24,
) -> Report:
    """Queue `rate` e-mails a second (a tenth transactional) and a tenth as many texts.

    E-mail is down for `outage_seconds`: most calls are refused a connection, one in ten hangs. Its
    channel is limited to `limit` = (calls, microseconds).
    """
    email = Fragile("email", idempotency_hours=idempotency_hours, seed=1)
    sms = Fragile("sms", seed=2)
    email.weather = Weather(before_seconds, before_seconds + outage_seconds)
    crowd = Crowd(stage, n_people=N_PEOPLE)
    due: dict[int, float] = {}
    ids: dict[str, list[int]] = {"offer": [], "receipt": [], "text": []}
    until = before_seconds + outage_seconds + after_seconds
    feeding_until = until - 0.2 * after_seconds

    async def main(loop: VirtualLoop) -> None:
        def clock() -> Instant:
            return stage.now + int(loop.time() * SECOND)

        paces = Paces(rng=email.rng)
        paces.follow({"email": limit})
        outbox = Outbox(
            stage.process.database,
            vault=stage.process.vault,
            providers={"email": email, "sms": sms},
            links=stage.process.links,
            rng=email.rng,
            write=stage.process.write,
            paces=paces,
            clock=clock,
        )

        async def feed() -> None:
            last, rng = 0.0, random.Random(3)
            owed = {"offer": 0.0, "receipt": 0.0, "text": 0.0}
            kinds = {"offer": (OFFER, 0.9), "receipt": (RECEIPT, 0.1), "text": (TEXT, 0.1)}
            while loop.time() < feeding_until:
                passed, last = loop.time() - last, loop.time()
                for name, (kind, share) in kinds.items():
                    owed[name] += rate * share * passed
                    n = int(owed[name])
                    owed[name] -= n
                    new = crowd.queue(kind, n, at=clock()) if n else []
                    due.update(dict.fromkeys(new, loop.time()))
                    ids[name] += new
                # Never in step with the lanes' looks at the queue, or delays would be all alike.
                await asyncio.sleep(STEP_SECONDS * (0.5 + rng.random()))

        feeding = asyncio.ensure_future(feed())
        await keep_sending(
            outbox,
            stage.process.playbook,
            clock=clock,
            is_on=lambda: loop.time() < until,
            may_send=lambda: True,
            idle_seconds=IDLE_SECONDS,
        )
        await feeding

    run_virtually(main)
    weather = email.weather
    report = Report(
        email_calls=[at for at, _ in email.calls],
        n_calls_in_outage=sum(
            weather.down_from <= at < weather.down_until for at, _ in email.calls
        ),
        n_ambiguous=email.ambiguous,
        back_at=min((at for at, _ in email.taken if at >= weather.down_until), default=0.0),
    )
    status: dict[int, str] = dict(stage.rows("SELECT id, status FROM message"))
    taken = {id: at for at, id in (*email.taken, *sms.taken)}
    for name, own in ids.items():
        counts = report.statuses[name] = {}
        for id in own:
            counts[status[id]] = counts.get(status[id], 0) + 1
        report.delays[name] = [taken[id] - due[id] for id in own if id in taken]
    return report


def main() -> int:
    """Print what an outage and a day without one look like, side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="e-mails a second")
    parser.add_argument("--hours", type=float, default=2.0, help="of outage")
    arguments = parser.parse_args()
    limit = (int(arguments.rate * 4), SECOND)
    for hours in (0.0, arguments.hours):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'outage.db'}"
            database = Database(url)
            upgrade(database)
            database.close()
            stage = Stage(url, now=NOON)
            found = simulate(
                stage, rate=arguments.rate, limit=limit, outage_seconds=hours * 3600,
                after_seconds=600 + hours * 3600 * 0.6,
            )  # fmt: skip
            stage.close()
        print(f"outage of {hours:g} h: {found.statuses}")
        print(f"  p99 of texts {found.p99('text'):.2f} s, of receipts {found.p99('receipt'):.2f} s")
        print(f"  most e-mail calls in a second {found.most_calls_within(1.0)}, limit {limit[0]}")
        if hours:
            print(f"  calls during the outage {found.n_calls_in_outage}, {found.n_ambiguous} hung")
            ramp = [round(found.calls_a_second_after(at), 1) for at in range(0, 60, 5)]
            print(f"  calls a second, every 5 s after its end: {ramp}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
