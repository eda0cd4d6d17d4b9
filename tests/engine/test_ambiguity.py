"""P4 by number: thousands of calls whose reply was lost, against a provider's own ledger.

Half of what is lost was taken. With ANTIPHON_TEST_SCALE=10 there are 10,000 ambiguous outcomes.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from channels.base import Accepted, Ambiguous, Channel, OutMessage, Receipt
from channels.pace import Breaker
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.rig import planted_sending as planted
from tests.rig.crowd import OFFER, RECEIPT, TEXT, TEXT_RECEIPT, Crowd, Server
from tests.rig.sizes import scaled
from tests.rig.stage import NOON, Stage

LOST_SHARE = 0.4
N_AMBIGUOUS = scaled(1_000)
KEY_HOURS = 1
KINDS = {
    "keyless marketing": OFFER,
    "keyless transactional": RECEIPT,
    "keyed marketing": TEXT,
    "keyed transactional": TEXT_RECEIPT,
}


class Lossy(Server):
    """Loses every second reply or so, having taken half of those messages."""

    def __init__(self, channel: Channel, stage: Stage, *, idempotency_hours: int) -> None:
        super().__init__(channel, idempotency_hours=idempotency_hours, seed=len(channel))
        self._stage = stage
        self.lost: Counter[int] = Counter()

    def present(self) -> float:
        return self._stage.now / SECOND

    def answer(self, message: OutMessage) -> tuple[Receipt, bool]:
        if self.rng.random() < LOST_SHARE:
            self.lost[message.id] += 1
            return Ambiguous("reply lost"), self.rng.random() < 0.5
        return Accepted(f"p{message.id}"), True


@dataclass
class Found:
    """What the ledger and the database say about one kind of message."""

    ids: list[int]
    taken: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    flagged: Counter[int] = field(default_factory=Counter)


def played(folder: Path, bug: AbstractContextManager[Any] | None = None) -> dict[str, Found]:
    """Send until nothing is left; for two hours in between nobody sends, and keys expire."""
    url = f"sqlite:///{folder / f'{id(bug)}.db'}"
    database = Database(url)
    upgrade(database)
    database.close()
    stage = Stage(url, now=NOON)
    servers = {
        "email": Lossy("email", stage, idempotency_hours=0),
        "sms": Lossy("sms", stage, idempotency_hours=KEY_HOURS),
    }
    cast(dict[str, Any], stage.process.providers).update(servers)
    for channel in servers:
        # A provider that loses 40 % of its replies would be left alone most of the time.
        patient = Breaker(rng=servers[channel].rng, failures=10**9, share=2.0)
        stage.process.outbox.paces.of(channel)._breaker = patient
    crowd = Crowd(stage, n_people=20)
    # Each message is lost 0.4 times, and where it is repeated 0.4 + 0.4 ** 2 + … = 0.67 times.
    n = round(N_AMBIGUOUS / (0.4 + 3 * 0.67))
    found = {name: Found(crowd.queue(kind, n, at=stage.now)) for name, kind in KINDS.items()}
    with bug or nullcontext():
        for turn in range(20_000):
            drained = [stage.drain(channel) for channel in ("email", "sms")]
            if turn == n // 200:
                stage.now += (KEY_HOURS + 1) * HOUR
            if all(it.is_idle for it in drained):
                if not stage.rows("SELECT 1 FROM message WHERE status = 'queued' LIMIT 1"):
                    break
                stage.now += MINUTE
    statuses: dict[int, str] = dict(stage.rows("SELECT id, status FROM message"))
    flagged = Counter(
        row[0] for row in stage.rows("SELECT message_id FROM attempt WHERE outcome = 'ambiguous'")
    )
    stage.close()
    for name, it in found.items():
        server = servers[KINDS[name].channel]
        own = set(it.ids)
        it.taken = Counter(id for _, id in server.taken if id in own)
        it.lost = Counter({id: times for id, times in server.lost.items() if id in own})
        it.flagged = Counter({id: times for id, times in flagged.items() if id in own})
        it.statuses = Counter(statuses[id] for id in it.ids)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return played(tmp_path_factory.mktemp("ambiguity"))


def every_lost_reply_is_flagged(it: Found) -> bool:
    return it.flagged == it.lost


def at_most_one_is_taken(it: Found) -> bool:
    return max(it.taken.values(), default=0) <= 1


def test_so_many_replies_were_lost(found: dict[str, Found]) -> None:
    n_lost = sum(sum(it.lost.values()) for it in found.values())

    assert n_lost >= 0.9 * N_AMBIGUOUS


@pytest.mark.parametrize("name", KINDS)
def test_every_lost_reply_is_an_attempt_that_says_so(found: dict[str, Found], name: str) -> None:
    assert every_lost_reply_is_flagged(found[name])


def test_marketing_without_keys_is_called_at_most_once_into_the_unknown(
    found: dict[str, Found],
) -> None:
    it = found["keyless marketing"]

    assert at_most_one_is_taken(it)
    assert it.statuses == {"unknown": len(it.lost), "sent": len(it.ids) - len(it.lost)}
    assert set(it.lost.values()) == {1}


def test_receipts_without_keys_all_arrive_and_copies_are_no_more_than_lost_replies(
    found: dict[str, Found],
) -> None:
    it = found["keyless transactional"]
    copies = {id: n - 1 for id, n in it.taken.items() if n > 1}

    assert it.statuses["sent"] == len(it.ids) - it.statuses["unknown"]
    assert all(n <= it.lost[id] for id, n in copies.items())
    assert 0 < sum(copies.values()) <= sum(it.lost.values())
    # Only eight lost replies in a row end one as unknown: 0.4 ** 8 of them, one in 1,500.
    assert it.statuses["unknown"] <= 3 + len(it.ids) // 300


def test_marketing_is_repeated_while_its_key_lives_and_never_taken_twice(
    found: dict[str, Found],
) -> None:
    it = found["keyed marketing"]
    n_repeated = sum(it.taken[id] > 0 and n > 1 for id, n in it.lost.items())

    assert at_most_one_is_taken(it)
    assert it.statuses["sent"] > 0.6 * len(it.ids)
    assert n_repeated > 0


def test_a_key_that_expired_ends_marketing_as_unknown_and_lets_receipts_go_again(
    found: dict[str, Found],
) -> None:
    marketing, receipts = found["keyed marketing"], found["keyed transactional"]

    assert marketing.statuses["unknown"] > 0
    assert receipts.statuses == {"sent": len(receipts.ids)}


@pytest.mark.parametrize(
    ("bug", "name", "claims"),
    [
        (planted.keys_live_for_ever, "keyed marketing", (at_most_one_is_taken,)),
        (
            planted.repeats_are_not_counted,
            "keyless marketing",
            (at_most_one_is_taken, every_lost_reply_is_flagged),
        ),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_a_planted_bug_is_caught(
    tmp_path: Path,
    bug: Callable[[], AbstractContextManager[Any]],
    name: str,
    claims: tuple[Callable[[Found], bool], ...],
) -> None:
    broken = played(tmp_path, bug())

    assert [claim(broken[name]) for claim in claims] == [False] * len(claims)
