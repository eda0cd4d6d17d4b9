"""What many requests want at once is done in groups; the fault of one is the fault of one."""

import asyncio
from collections.abc import Sequence

import pytest

from engine.core.errors import CommitUnknown, DiskFull, Overloaded, StoreError
from engine.web.gathering import FAILURES_MAX, WAITING_MAX, Gathering


class Work:
    """Doubles numbers; what is in `wrong` raises, alone or with others."""

    def __init__(self, wrong: dict[int, Exception] | None = None) -> None:
        self.wrong = wrong or {}
        self.groups: list[list[int]] = []

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(items))
        await asyncio.sleep(0)
        for item in items:
            if item in self.wrong:
                raise self.wrong[item]
        return [2 * item for item in items]


def done(work: Work, items: Sequence[int], *, group_max: int = 200) -> list[int | BaseException]:
    async def run() -> list[int | BaseException]:
        gathering: Gathering[int, int] = Gathering(work, group_max=group_max)
        return await asyncio.gather(*map(gathering.add, items), return_exceptions=True)

    return asyncio.run(run())


def test_a_lone_request_waits_for_nobody_and_the_others_go_together() -> None:
    work = Work()

    found = done(work, range(10), group_max=4)

    assert found == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert sorted(map(len, work.groups)) == [2, 4, 4]


def test_one_that_cannot_be_done_harms_no_other() -> None:
    error = ValueError("poison")

    found = done(Work({3: error}), range(6))

    assert found == [0, 2, 4, error, 8, 10]


def test_a_database_that_fails_is_not_asked_for_each() -> None:
    wrong: dict[int, Exception] = {n: StoreError("lost") for n in range(100)}
    work = Work(wrong)

    found = done(work, range(100))

    assert all(isinstance(it, StoreError) for it in found)
    assert len(work.groups) == 1 + FAILURES_MAX


def test_on_a_full_disk_each_is_tried_since_some_may_use_the_reserve() -> None:
    work = Work({n: DiskFull() for n in range(99)})

    found = done(work, range(100))

    assert found[99] == 198
    assert sum(isinstance(it, DiskFull) for it in found) == 99


@pytest.mark.parametrize("error", [CommitUnknown(), Overloaded()])
def test_a_group_whose_fate_nobody_knows_is_not_tried_again(error: Exception) -> None:
    work = Work({2: error})

    found = done(work, range(5))

    assert found == [error] * 5
    assert len(work.groups) == 1


def test_too_many_waiting_are_told_to_come_back() -> None:
    found = done(Work(), range(WAITING_MAX + 10))

    assert sum(isinstance(it, Overloaded) for it in found) == 10


def test_whoever_goes_away_leaves_the_others_alone() -> None:
    async def run() -> int:
        gathering: Gathering[int, int] = Gathering(Work())
        impatient = asyncio.create_task(gathering.add(1))
        patient = asyncio.create_task(gathering.add(2))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(run()) == 4
