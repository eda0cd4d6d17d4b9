"""The sending loop: lanes side by side, on a virtual clock over a real file."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.base import Accepted, OutMessage, Receipt
from engine.core.errors import NotOwner, StoreError
from engine.core.model.instants import SECOND
from engine.sending.lanes import PLACES, Paces
from engine.sending.loop import keep_sending
from engine.sending.outbox import LANE_WIDTH, Outbox
from engine.simulation.run_until import _drain
from tests.engine.test_disk_full import a_migrated
from tests.rig.crowd import OFFER, RECEIPT, TEXT, Crowd, Server, counted
from tests.rig.stage import Stage
from tests.rig.virtual import VirtualLoop, run_virtually


class Slow(Server):
    """Takes `seconds` for a call, and for ever for some messages."""

    seconds = 0.1
    stuck: frozenset[int] = frozenset()
    in_flight = 0
    most_in_flight = 0

    def answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        return Accepted(f"p{message.id}"), True

    async def deliver(self, message: OutMessage) -> Receipt:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        receipt = await super().deliver(message)
        await asyncio.sleep(3_600 if message.id in self.stuck else self.seconds)
        self.in_flight -= 1
        return receipt


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(a_migrated(tmp_path / "sending.db"))
    yield opened
    opened.close()


def sent_within(
    stage: Stage,
    seconds: float,
    servers: dict[str, Any],
    *,
    write: Any = None,
    may_send: Any = None,
) -> None:
    """Run the loop for so long on the virtual clock."""

    async def main(loop: VirtualLoop) -> None:
        def clock() -> int:
            return stage.now + int(loop.time() * SECOND)

        outbox = Outbox(
            stage.process.database, vault=stage.process.vault, providers=servers,
            links=stage.process.links, rng=random.Random(1), write=write or stage.process.write,
            clock=clock,
        )  # fmt: skip
        await keep_sending(
            outbox, stage.process.playbook, clock=clock, is_on=lambda: loop.time() < seconds,
            may_send=may_send or (lambda: True), idle_seconds=0.05,
        )  # fmt: skip

    run_virtually(main)


def test_recipients_whose_server_hangs_hold_up_no_other(stage: Stage) -> None:
    crowd = Crowd(stage, n_people=5)
    ids = crowd.queue(OFFER, 250, at=stage.now)
    email = Slow("email")
    email.stuck = frozenset(ids[:3])

    sent_within(stage, 5.0, {"email": email})

    assert {id for at, id in email.calls if at < 5.0} == set(ids)
    # The loop waits for what is under way, until every call has its limit behind it.
    assert counted(stage, ids) == {"sent": 247, "unknown": 3}


def test_no_more_calls_are_in_flight_than_a_lane_is_wide(stage: Stage) -> None:
    ids = Crowd(stage, n_people=5).queue(OFFER, 3 * PLACES, at=stage.now)
    email = Slow("email")

    sent_within(stage, 10.0, {"email": email})

    assert email.most_in_flight == LANE_WIDTH
    assert counted(stage, ids) == {"sent": 3 * PLACES}


def test_a_receipt_is_not_kept_waiting_by_a_newsletter(stage: Stage) -> None:
    crowd = Crowd(stage, n_people=5)
    crowd.queue(OFFER, 500, at=stage.now)
    (receipt,) = crowd.queue(RECEIPT, 1, at=stage.now + SECOND)
    email = Slow("email")
    email.seconds = 5.0

    sent_within(stage, 3.0, {"email": email})

    ((called_at,),) = [(at,) for at, id in email.calls if id == receipt]
    assert 1.0 <= called_at < 1.2


def test_one_channels_trouble_stops_no_other(stage: Stage) -> None:
    crowd = Crowd(stage, n_people=5)
    mails, texts = (crowd.queue(kind, 10, at=stage.now) for kind in (OFFER, TEXT))

    class Broken(Slow):
        @property
        def name(self) -> str:
            raise StoreError("this provider cannot even say its name")

        @name.setter
        def name(self, _name: str) -> None: ...

    sent_within(stage, 3.0, {"email": Broken("email"), "sms": Slow("sms")})

    assert counted(stage, mails) == {"queued": 10}
    assert counted(stage, texts) == {"sent": 10}


def test_while_it_may_not_send_nothing_begins(stage: Stage) -> None:
    ids = Crowd(stage, n_people=5).queue(OFFER, 10, at=stage.now)
    email = Slow("email")

    sent_within(stage, 3.0, {"email": email}, may_send=lambda: False)

    assert counted(stage, ids) == {"queued": 10}
    assert email.calls == []


def test_whoever_has_lost_the_ownership_stops(stage: Stage) -> None:
    Crowd(stage, n_people=5).queue(OFFER, 10, at=stage.now)

    def refuse(*_given: Any) -> Any:
        raise NotOwner

    with pytest.raises(NotOwner):
        sent_within(stage, 3.0, {"email": Slow("email")}, write=refuse)


def test_a_single_run_waits_for_the_rate_and_sends_everything(stage: Stage) -> None:
    """`antiphon tick` on a host that only has cron: one run, at the provider's pace."""
    ids = Crowd(stage, n_people=5).queue(OFFER, 25, at=stage.now)
    email = Slow("email")

    async def main(loop: VirtualLoop) -> None:
        def clock() -> int:
            return stage.now + int(loop.time() * SECOND)

        paces = Paces(rng=random.Random(1))
        paces.follow({"email": (10, SECOND)})
        outbox = Outbox(
            stage.process.database, vault=stage.process.vault, providers={"email": email},
            links=stage.process.links, rng=random.Random(1), write=stage.process.write,
            paces=paces, clock=clock,
        )  # fmt: skip
        await _drain(outbox, stage.process.playbook, "email", clock, now=stage.now)

    run_virtually(main)

    assert counted(stage, ids) == {"sent": 25}
    starts = [at for at, _ in email.calls]
    assert all(later - first >= 1.0 for first, later in zip(starts, starts[10:], strict=False))
