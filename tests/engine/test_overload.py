"""P14: more than a server can take is refused with a time to come back, and costs it no memory.

A real `serve`, whose queue is made small so that a test can fill it. `python -m tests.rig.overload`
is the same at any size.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.local import call
from engine.settings import read_settings
from engine.web.problem import Refusal
from engine.web.traffic import BODIES_BYTES_MAX, Traffic
from tests.engine.serving import Served
from tests.rig.overload import Load, n_durable, offer

SECONDS = 3.0
CONNECTIONS = 24
QUEUE = "400"


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Load, Load, int]:
    """What a calm and a flooded server did, and how many events it holds at the end."""
    shop = tmp_path_factory.mktemp("overload")
    url = f"sqlite:///{shop / 'antiphon.db'}"
    served = Served(
        shop, environ={"ANTIPHON_DATABASE_URL": url, "ANTIPHON_QUEUE_EVENTS_MAX": QUEUE}
    )
    try:
        made = call(shop, "keys_create", {"kind": "server", "label": "overload"})
        assert made is not None
        calm = offer(served, made["key"], connections=2, seconds=SECONDS, name="calm")
        flood = offer(served, made["key"], connections=CONNECTIONS, seconds=SECONDS, name="flood")
        served.terminate()
    finally:
        if served.process.poll() is None:
            served.kill()
    return calm, flood, n_durable(url)


def test_the_server_was_flooded(loads: tuple[Load, Load, int]) -> None:
    calm, flood, _ = loads

    assert set(calm.statuses) == {200}
    assert flood.offered_per_second > 1.5 * flood.taken_per_second


def test_every_event_that_was_acknowledged_is_there(loads: tuple[Load, Load, int]) -> None:
    calm, flood, n_there = loads

    assert n_there == calm.taken + flood.taken
    assert flood.taken > 0


def test_every_other_answer_is_429_or_503_and_names_a_time(
    loads: tuple[Load, Load, int],
) -> None:
    _, flood, _ = loads

    assert set(flood.statuses) - {200} <= {429, 503}
    assert flood.without_a_time == 0


def test_a_flood_takes_at_most_half_as_much_memory_again(loads: tuple[Load, Load, int]) -> None:
    calm, flood, _ = loads
    if not calm.rss_most:
        pytest.skip("this system does not say how much memory a process holds (/proc)")

    assert flood.rss_most <= 1.5 * calm.rss_most


def test_bodies_that_come_in_slowly_are_bounded_together(tmp_path: Path) -> None:
    """A thousand slow clients with half a megabyte each would be half a gigabyte."""
    traffic = Traffic(read_settings(tmp_path, environ={}), waiting=lambda: 0, folder=None)
    with ExitStack() as coming_in:
        for _ in range(BODIES_BYTES_MAX // 500_000):
            coming_in.enter_context(traffic.receiving(b"500000", bytes_max=512_000))
        with pytest.raises(Refusal) as refused:
            coming_in.enter_context(traffic.receiving(b"", bytes_max=512_000))

    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 1)
    with traffic.receiving(b"", bytes_max=512_000):
        pass  # what came in has made room again
