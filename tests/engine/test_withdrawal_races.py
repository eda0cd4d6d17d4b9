"""P10 by number: people say no at any point of an attempt, and no new one begins. Both databases.

With ANTIPHON_TEST_SCALE=25 there are 10,000 interleavings; `test_unsubscribe` races real threads.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from channels.base import Accepted, OutMessage, Receipt
from engine import failpoints
from engine.commands import messages as messages_command
from engine.consent.choosing import choose
from engine.consent.standing import Terms
from engine.consent.unsubscribe import withdraw
from tests.rig import planted_sending as planted
from tests.rig.crowd import OFFER, Crowd
from tests.rig.sizes import scaled
from tests.rig.stage import Stage

N_INTERLEAVINGS = scaled(400)
IN_A_BATCH = 10
POINTS = ("before", "outbox claim", "attempt commit", "bytes sent", "reply unread", "after")


TERMS = Terms(("offers",), frozenset())
Refuse = Callable[..., object]
PREFERENCES = partial(choose, terms=TERMS, wanted={("email", "offers"): False})
STOP_EVERYTHING = partial(choose, terms=TERMS, wanted=None)
LINK = partial(withdraw, scope="topic", proof="test")


class Refuseniks:
    """Everybody gets one offer and says no once, each at a point of their own.

    Args:
        refuse: How they say it.
    """

    def __init__(self, url: str, *, n: int, refuse: Refuse = LINK) -> None:
        self.refuse = refuse
        self.stage = Stage(url)
        self.crowd = Crowd(self.stage, n_people=n)
        self.rng = random.Random(10)
        self.n = n
        self.at_acknowledgement: dict[int, int] = {}
        self.points: Counter[str] = Counter()
        self._waiting: dict[str, list[int]] = {}
        self._n_claims = 0

    def run(self) -> None:
        """Batch by batch: queue, drain, and let each say no when their point comes."""
        for _ in range(0, self.n, IN_A_BATCH):
            ids = self.crowd.queue(OFFER, IN_A_BATCH, at=self.stage.now)
            self._waiting = {}
            for id in ids:
                self._waiting.setdefault(self.rng.choice(POINTS), []).append(id)
            self._say_no("before")
            self._n_claims = 0
            failpoints.install(self._at)
            try:
                self.stage.drain()
            finally:
                failpoints.install(None)
            for point in list(self._waiting):
                self._say_no(point, counted_as="after")

    def _at(self, name: str) -> None:
        # The first claim of a drain is the transactional lane's: nothing of ours is in it.
        self._n_claims += name == "outbox claim"
        if name != "outbox claim" or self._n_claims > 1:
            self._say_no(name)

    def _say_no(self, point: str, *, counted_as: str = "") -> None:
        waiting = self._waiting.pop(point, [])
        self.rng.shuffle(waiting)
        for message in waiting:
            self.stage.process.write(
                partial(
                    self.refuse, message=message, log=self.stage.process.log, now=self.stage.now
                )
            )
            self.points[counted_as or point] += 1
            self.at_acknowledgement[message] = self._attempts(message)

    def _attempts(self, message: int) -> int:
        rows = self.stage.rows("SELECT count(*) FROM attempt WHERE message_id = ?", message)
        return int(rows[0][0])

    def late(self) -> list[int]:
        """Messages with an attempt that committed after its acknowledgement."""
        attempts: Counter[int] = Counter(dict(self.stage.rows(
            "SELECT message_id, count(*) FROM attempt GROUP BY message_id"
        )))  # fmt: skip
        return [id for id, n in self.at_acknowledgement.items() if attempts[id] > n]


@pytest.mark.parametrize(
    "refuse", [LINK, PREFERENCES, STOP_EVERYTHING], ids=["link", "preferences", "stop everything"]
)
def test_no_attempt_begins_after_any_of_them_was_acknowledged(
    database_url: str, refuse: Refuse
) -> None:
    refuseniks = Refuseniks(database_url, n=N_INTERLEAVINGS, refuse=refuse)

    refuseniks.run()

    assert len(refuseniks.at_acknowledgement) == -(-N_INTERLEAVINGS // IN_A_BATCH) * IN_A_BATCH
    assert refuseniks.late() == []
    # Some were too late to stop theirs, or nothing was tried.
    assert set(refuseniks.at_acknowledgement.values()) == {0, 1}
    assert all(refuseniks.points[point] > 0 for point in POINTS)
    refuseniks.stage.close()


@pytest.mark.parametrize("bug", [planted.consent_is_read_when_claimed])
def test_a_planted_bug_is_caught(
    database_url: str, bug: Callable[[], AbstractContextManager[Any]]
) -> None:
    refuseniks = Refuseniks(database_url, n=100)

    with bug():
        refuseniks.run()

    assert refuseniks.late() != []
    refuseniks.stage.close()


def test_calls_in_flight_are_listed_while_they_are(
    database_url: str, tmp_path: Any, monkeypatch: Any, capsys: Any
) -> None:
    """`antiphon messages --status attempting`, run by somebody else in the middle of the call."""
    stage = Stage(database_url)
    crowd = Crowd(stage, n_people=2)
    (message,) = crowd.queue(OFFER, 1, at=stage.now)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    parser = argparse.ArgumentParser()
    messages_command.add_arguments(parser)
    asked = parser.parse_args([str(tmp_path), "--status", "attempting"])

    async def deliver(_: OutMessage) -> Receipt:
        messages_command.run(asked)
        return Accepted("p1")

    stage.email.deliver = deliver  # type: ignore[method-assign, assignment]
    stage.drain()
    in_the_call = capsys.readouterr().out
    messages_command.run(asked)
    after = capsys.readouterr().out
    stage.close()

    assert str(message) in in_the_call
    assert "attempting" in in_the_call
    assert "no message is like that" in after
