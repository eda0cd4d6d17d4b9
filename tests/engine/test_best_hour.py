"""A model of send times, from its published run to the hour at which a message leaves."""

from collections.abc import Iterator

import pytest

from engine.core.clocktime import local_time
from engine.core.model.instants import DAY
from engine.scores import publish
from tests.engine.publishing import CART, FILES, Published

JOURNEY = """\
journey:
  - best_time: {within: 24h, model: their-hour}
    id: hour
  - send: {channel: email, template: soft}
    id: remind
"""
SHOP = {
    **FILES,
    "models/hour.yaml": "send_time: their-hour\nexplore: 1%\n",
    "campaigns/cart.yaml": CART.split("journey:")[0] + JOURNEY,
}


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(SHOP)
    yield opened
    opened.close()


def people(house: Published, n: int) -> list[int]:
    for number in range(1, n + 1):
        house.identify(f"u{number}")
    house.settle()
    return [int(row[0]) for row in house.rows("SELECT id FROM profile ORDER BY id")]


def test_whom_the_champion_knows_is_written_to_at_their_hour(house: Published) -> None:
    ids = people(house, 12)
    known = dict.fromkeys(ids[:8], (0.7, "05"))
    publish(
        house.process.database, known, model="their-hour", kind="send_time",
        program=house.process.playbook.program, write=house.process.write, now=house.now,
    )  # fmt: skip

    for number in range(1, 13):
        house.track(f"u{number}", "Product Added", cart=f"c{number}")
    house.settle(until=house.now + DAY)

    sent: dict[int, int] = dict(
        house.rows("SELECT profile_id, at FROM message WHERE template = 'soft'")
    )
    hours = {profile_id: local_time(at, "UTC").hour for profile_id, at in sent.items()}
    assert len(sent) == 12
    # One in a hundred explores; of these eight, by their hash, nobody does.
    assert {hours[profile_id] for profile_id in ids[:8]} == {5}
    assert len({hours[profile_id] for profile_id in ids[8:]}) > 1


def test_a_new_champion_wakes_nobody_and_is_read_at_the_next_step(house: Published) -> None:
    (profile_id,) = people(house, 1)

    done = publish(
        house.process.database, {profile_id: (0.7, "05")}, model="their-hour", kind="send_time",
        program=house.process.playbook.program, write=house.process.write, now=house.now,
    )  # fmt: skip

    assert done.n_woken == 0, "no condition asks for it"
