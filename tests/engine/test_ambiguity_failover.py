"""P4 across a fail-over: lost replies on both sides of outages, against both providers' ledgers.

Half of what is lost was taken. With ANTIPHON_TEST_SCALE=10 there are 10,000 ambiguous outcomes.
"""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import HOUR, MINUTE
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.engine.failing_over import FIRST, SECOND_ONE, with_backup
from tests.rig import planted_sending as planted
from tests.rig.crowd import TEXT, TEXT_RECEIPT, Crowd
from tests.rig.sizes import scaled
from tests.rig.stage import NOON, Stage

LOST_SHARE = 0.4
N_AMBIGUOUS = scaled(1_000)
KINDS = {"marketing": TEXT, "receipts": TEXT_RECEIPT}


@dataclass
class Found:
    """What both ledgers and the database say about one kind of message."""

    ids: list[int]
    taken: Counter[int] = field(default_factory=Counter)
    lost: Counter[tuple[int, str]] = field(default_factory=Counter)
    flagged: Counter[tuple[int, str]] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: dict[int, str] = field(default_factory=dict)
    """Of those that were sent."""
    n_by_backup: int = 0


def played(folder: Path, bug: AbstractContextManager[Any] | None = None) -> dict[str, Found]:
    """Send for hours in which the first is down for ten minutes of every twenty; its keys live for
    an hour, the other knows none."""
    url = f"sqlite:///{folder / f'{id(bug)}.db'}"
    database = Database(url)
    upgrade(database)
    database.close()
    stage = Stage(url, now=NOON)
    first, other = with_backup(stage, lost_share=LOST_SHARE, failures=20)
    first.outages = [(NOON + n * 20 * MINUTE, NOON + n * 20 * MINUTE + 10 * MINUTE)
                     for n in range(1, 200)]  # fmt: skip
    crowd = Crowd(stage, n_people=20)
    # Lost 0.4 times, where it is repeated 0.4 + 0.4 ** 2 + … = 0.67 times.
    n = round(N_AMBIGUOUS / (0.5 + 0.67))
    found = {name: Found([]) for name in KINDS}
    with bug or nullcontext():
        for turn in range(20_000):
            if turn < 60:
                for name, kind in KINDS.items():
                    found[name].ids += crowd.queue(kind, n // 60 + 1, at=stage.now)
            # Often enough that nobody's key runs out for want of a turn.
            for _ in range(1 + n // 3_000):
                done = [stage.drain(name) for name in (FIRST, SECOND_ONE)]
            stage.now += MINUTE
            if turn >= 60 and all(it.is_idle for it in done):
                if not stage.rows("SELECT 1 FROM message WHERE status = 'queued' LIMIT 1"):
                    break
                stage.now += HOUR // 6
    statuses = {row[0]: row[1:] for row in stage.rows("SELECT id, status, reason FROM message")}
    ambiguous = stage.rows("SELECT message_id, account FROM attempt WHERE outcome = 'ambiguous'")
    stage.close()
    for it in found.values():
        own = set(it.ids)
        for name, server in ((FIRST, first), (SECOND_ONE, other)):
            it.taken.update(id for _, id in server.taken if id in own)
            it.lost.update({(id, name): k for id, k in server.lost.items() if id in own})
        it.n_by_backup = sum(id in own for _, id in other.taken)
        it.flagged = Counter((id, name) for id, name in ambiguous if id in own)
        it.statuses = Counter(statuses[id][0] for id in it.ids)
        it.reasons = {id: statuses[id][1] for id in it.ids if statuses[id][0] == "sent"}
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return played(tmp_path_factory.mktemp("failover"))


def at_most_one_is_taken(it: Found) -> bool:
    return max(it.taken.values(), default=0) <= 1


def test_so_many_replies_were_lost_and_both_providers_were_called(
    found: dict[str, Found],
) -> None:
    assert sum(sum(it.lost.values()) for it in found.values()) >= 0.9 * N_AMBIGUOUS
    for it in found.values():
        assert 0.15 * len(it.ids) < it.n_by_backup < 0.85 * len(it.ids)


@pytest.mark.parametrize("name", KINDS)
def test_every_lost_reply_is_an_attempt_that_names_its_channel(
    found: dict[str, Found], name: str
) -> None:
    assert found[name].flagged == found[name].lost


def test_marketing_is_taken_at_most_once_whoever_took_it(found: dict[str, Found]) -> None:
    it = found["marketing"]

    assert at_most_one_is_taken(it)
    assert set(it.statuses) == {"sent", "unknown"}
    # The other holds no key: each of its lost replies ends a message as unknown. Of the first's
    # only those whose key ran out before it came back do.
    n_lost_by_other = sum(name == SECOND_ONE for _, name in it.lost)
    n_lost_by_first = len(it.lost) - n_lost_by_other
    assert n_lost_by_other <= it.statuses["unknown"] < n_lost_by_other + n_lost_by_first // 2


def test_no_message_has_doubts_at_two_channels_unless_silence_is_worse(
    found: dict[str, Found],
) -> None:
    doubted = Counter(id for id, _ in found["marketing"].lost)

    assert max(doubted.values()) == 1


def test_receipts_all_arrive_and_copies_are_no_more_than_lost_replies(
    found: dict[str, Found],
) -> None:
    it = found["receipts"]
    n_lost = Counter[int]()
    for (id, _), n in it.lost.items():
        n_lost[id] += n
    copies = {id: n - 1 for id, n in it.taken.items() if n > 1}

    assert it.statuses["sent"] >= len(it.ids) - 3 - len(it.ids) // 300
    assert all(n <= n_lost[id] for id, n in copies.items())
    assert 0 < sum(copies.values()) <= sum(n_lost.values())


def test_every_receipt_that_a_second_channel_repeated_says_that_it_may_be_a_copy(
    found: dict[str, Found],
) -> None:
    it = found["receipts"]
    doubts_at: dict[int, set[str]] = {}
    for id, name in it.lost:
        doubts_at.setdefault(id, set()).add(name)
    flagged = {id for id, reason in it.reasons.items() if reason.startswith("possible duplicate")}

    of_two = {id for id, names in doubts_at.items() if len(names) > 1}
    assert of_two & set(it.reasons) <= flagged
    assert flagged <= set(doubts_at)
    assert flagged


def test_a_planted_bug_is_caught(tmp_path: Path) -> None:
    broken = played(tmp_path, planted.a_backup_knows_no_doubt())

    assert not at_most_one_is_taken(broken["marketing"])
