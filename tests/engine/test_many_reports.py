"""P5 by number: reports shuffled and tripled end where the same ones do, sorted and unique.

With ANTIPHON_TEST_SCALE=10 there are 100,000 of them.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from channels.delivery import DeliveryEvent, EventKind
from engine.core.model.instants import SECOND
from engine.hearing.feedback import EVENT_NAMES, ORDER
from engine.store.connection import Row
from engine.store.database import Database
from engine.store.migrate import upgrade
from tests.rig import planted_sending as planted
from tests.rig.crowd import OFFER, Crowd
from tests.rig.sizes import scaled
from tests.rig.stage import NOON, Stage

N_REPORTS = scaled(10_000)
N_MESSAGES = N_REPORTS // 8
GROUP = 1_000
"""Reports in one transaction, as a provider's large webhook would bring them."""
KINDS: tuple[EventKind, ...] = (*ORDER, "unknown", "inbound")  # type: ignore[arg-type]


def some_reports(messages: Sequence[int], rng: random.Random) -> list[DeliveryEvent]:
    """Few instants on purpose: ties are where an order could still show."""
    return [
        DeliveryEvent(
            kind=rng.choice(KINDS),
            message=rng.choice(messages),
            event_id=f"e{n}",
            at=NOON + rng.randrange(5) * SECOND,
            bounce_class=rng.choice(("hard", "soft", None)),
            is_machine=rng.random() < 0.1,
        )
        for n in range(N_REPORTS)
    ]


def told(
    folder: Path, *, is_wild: bool, bug: AbstractContextManager[Any] | None = None
) -> tuple[list[Row], list[Row], list[Row], int]:
    """What the database holds after all reports: deliveries, events, suppressions, how many new."""
    url = f"sqlite:///{folder / f'{is_wild}.db'}"
    database = Database(url)
    upgrade(database)
    database.close()
    stage = Stage(url, now=NOON)
    messages = Crowd(stage, n_people=50).queue(OFFER, N_MESSAGES, at=stage.now)
    rng = random.Random(5)
    reports = some_reports(messages, rng)
    if is_wild:
        reports = rng.sample(reports * 3, k=3 * len(reports))
    else:
        reports.sort(key=lambda it: (it.at, it.event_id))
    with bug or nullcontext():
        n_new = sum(
            stage.report(*reports[start : start + GROUP]) for start in range(0, len(reports), GROUP)
        )
    deliveries = stage.rows(
        "SELECT message_id, status, at, opened_at, clicked_at FROM delivery ORDER BY message_id"
    )
    events = stage.rows(
        "SELECT profile_id, name, at, count(*) FROM event WHERE name LIKE 'Message%' "
        "GROUP BY profile_id, name, at ORDER BY profile_id, name, at"
    )
    suppressed = stage.rows(
        "SELECT address_hash FROM contact WHERE suppressed IS NOT NULL ORDER BY address_hash"
    )
    stage.close()
    return deliveries, events, suppressed, n_new


@pytest.fixture(scope="module")
def orderly(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return told(tmp_path_factory.mktemp("reports"), is_wild=False)


def test_shuffled_and_tripled_they_end_where_sorted_and_unique_ones_do(
    orderly: Any, tmp_path: Path
) -> None:
    wild = told(tmp_path, is_wild=True)

    assert wild == orderly
    deliveries, events, suppressed, n_new = wild
    assert n_new == N_REPORTS
    assert len(deliveries) > 0.99 * N_MESSAGES
    assert suppressed
    assert {row[1] for row in events} == set(EVENT_NAMES.values())


@pytest.mark.parametrize(
    "bug", [planted.repeated_reports_count_again], ids=lambda it: str(it.__name__)
)
def test_a_planted_bug_is_caught(
    orderly: Any, tmp_path: Path, bug: Callable[[], AbstractContextManager[Any]]
) -> None:
    wild = told(tmp_path, is_wild=True, bug=bug())

    assert wild != orderly
