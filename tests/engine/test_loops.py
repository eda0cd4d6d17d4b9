"""What keeps a loop running: trouble is waited out, lost ownership is not."""

import threading

import pytest

from engine import loops
from engine.core.errors import NotOwner, StoreError
from engine.loops import keep_running


class Stop(threading.Event):
    """Remembers how long it was waited for, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return self.is_set()


def test_trouble_is_waited_out_longer_each_time_up_to_half_a_minute() -> None:
    stop, n_left = Stop(), 9

    def loop() -> None:
        nonlocal n_left
        n_left -= 1
        if not n_left:
            stop.set()
        raise StoreError("the database is away")

    keep_running(loop, stop=stop, failed=pytest.fail)

    assert stop.waited == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_loop_that_ran_well_for_long_begins_with_the_shortest_pause_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, spans = Stop(), [0, 0, 2 * loops.QUIET, 0]
    clock = 0
    monkeypatch.setattr(loops, "elapsed", lambda: clock)

    def loop() -> None:
        nonlocal clock
        clock += spans.pop(0)
        if not spans:
            stop.set()
        raise ValueError("a bug")

    keep_running(loop, stop=stop, failed=pytest.fail)

    assert stop.waited == [0.5, 1, 0.5, 1]


def test_who_is_no_longer_the_owner_stops_at_once_and_says_why() -> None:
    stop, said = Stop(), list[str]()

    def loop() -> None:
        raise NotOwner("another process plays this share")

    keep_running(loop, stop=stop, failed=said.append)

    assert (said, stop.waited) == (["another process plays this share"], [])
