"""P13: a provider's outage loses nothing, delays no other provider, and ends without a stampede.

The loop is the one of `serve`, the clock virtual, the file real. `python -m tests.rig.outage` is
the same simulation at any size.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import SECOND
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.rig import planted_sending as planted
from tests.rig.outage import Report, simulate
from tests.rig.sizes import SCALE
from tests.rig.stage import NOON, Stage

RATE = 1.0
LIMIT = 4
OUTAGE_SECONDS = 1_800.0 * SCALE
"""Half an hour; ANTIPHON_TEST_SCALE=4 makes it two."""
RECOVERY_SECONDS = 300.0
"""Longest rest of the breaker, and then some."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outage")


def report_of(
    folder: Path, outage_seconds: float, *, bug: AbstractContextManager[Any] | None = None
) -> Report:
    url = f"sqlite:///{folder / f'{outage_seconds}-{id(bug)}.db'}"
    database = Database(url)
    upgrade(database)
    database.close()
    stage = Stage(url, now=NOON)
    try:
        with bug or nullcontext():
            return simulate(
                stage,
                rate=RATE,
                limit=(LIMIT, SECOND),
                outage_seconds=outage_seconds,
                before_seconds=60.0,
                after_seconds=2 * RECOVERY_SECONDS + outage_seconds,
            )
    finally:
        stage.close()


@pytest.fixture(scope="module")
def calm(folder: Path) -> Report:
    return report_of(folder, 0.0)


@pytest.fixture(scope="module")
def outage(folder: Path) -> Report:
    return report_of(folder, OUTAGE_SECONDS)


def nothing_is_lost(outage: Report, calm: Report) -> bool:
    return all(set(counts) == {"sent"} for counts in outage.statuses.values())


def the_other_lane_is_as_fast(outage: Report, calm: Report) -> bool:
    return outage.p99("text") <= 1.1 * calm.p99("text")


def the_rate_is_kept(outage: Report, calm: Report) -> bool:
    return max(outage.most_calls_within(1.0), calm.most_calls_within(1.0)) <= LIMIT


def who_is_down_is_left_alone(outage: Report, calm: Report) -> bool:
    """Some to notice it, then a probe now and then, at most one every 15 seconds."""
    return 0 < outage.n_calls_in_outage <= 25 + OUTAGE_SECONDS / 15


def it_begins_slowly(outage: Report, calm: Report) -> bool:
    first, later = outage.calls_a_second_after(0.0), outage.calls_a_second_after(30.0)
    return first <= 2.5 and later > LIMIT * 0.8


def it_begins_soon(outage: Report, calm: Report) -> bool:
    return outage.back_at <= 60.0 + OUTAGE_SECONDS + RECOVERY_SECONDS


CLAIMS: dict[str, Callable[[Report, Report], bool]] = {
    it.__name__: it
    for it in (
        nothing_is_lost,
        the_other_lane_is_as_fast,
        the_rate_is_kept,
        who_is_down_is_left_alone,
        it_begins_slowly,
        it_begins_soon,
    )
}


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_through_an_outage(outage: Report, calm: Report, claim: str) -> None:
    assert CLAIMS[claim](outage, calm), (outage.statuses, outage.n_calls_in_outage, outage.back_at)


def test_every_message_was_due_while_it_mattered(outage: Report) -> None:
    """Or the claims would hold for nothing: most e-mails fell due while their provider was down."""
    waited = sum(delay > 10 for delay in outage.delays["offer"])

    assert waited > 0.8 * 0.9 * RATE * OUTAGE_SECONDS
    assert outage.n_ambiguous > 0


@pytest.mark.parametrize(
    ("bug", "claim"),
    [
        (planted.no_breaker, "who_is_down_is_left_alone"),
        (planted.no_slow_start, "it_begins_slowly"),
        (planted.no_rate, "the_rate_is_kept"),
        (planted.one_lane_for_all, "the_other_lane_is_as_fast"),
    ],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_a_planted_bug_is_caught(
    folder: Path, calm: Report, bug: Callable[[], AbstractContextManager[Any]], claim: str
) -> None:
    broken = report_of(folder, 301.0, bug=bug())

    assert not CLAIMS[claim](broken, calm)
