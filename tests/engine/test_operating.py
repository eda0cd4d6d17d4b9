"""Pause, resume, drain, unenrol: beside the version, over restarts, shown wherever one looks."""

from collections.abc import Iterator

import pytest

from engine.core.errors import UsageError
from engine.core.model.instants import HOUR, MINUTE
from engine.release.roll_call import campaigns
from engine.store.connection import Row
from engine.ticking.tick import Ticker
from tests.engine.publishing import FILES, Published, with_cart
from tests.engine.test_migrate import LONGER, dying_at


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    yield opened
    opened.close()


def statuses(house: Published) -> list[Row]:
    return house.rows("SELECT status, reason, count(*) FROM enrollment GROUP BY status, reason")


def test_a_paused_campaign_holds_everyone_and_resumes_where_it_was(house: Published) -> None:
    house.carts(2)
    house.order("pause", why="the code has run out")
    house.restart()
    house.settle(until=house.now + 9 * HOUR)
    house.carts(1, first=3)
    held = house.standing()

    done = house.order("resume")
    house.settle()

    assert held == [(house.version, "settle", 2)], "nobody walked on, nobody came in"
    assert done.n_people == 2
    assert house.standing() == [(house.version, "waiting", 2)]


OTHER = """campaign: other
trigger: {event: Product Added}
topic: offers
journey:
  - delay: 10m
    id: soon
  - send: {channel: email, template: soft}
"""


def test_a_delay_outlives_a_pause_in_which_another_timer_of_the_person_fired(
    house: Published,
) -> None:
    """The one timer of a person was for the other campaign; the resumed one needs it anew."""
    house.apply(with_cart(campaigns__other=OTHER))
    house.carts(1)
    house.order("pause")
    house.settle(until=house.now + 11 * MINUTE)

    house.order("resume")
    house.settle()
    before = house.standing()
    house.settle(until=house.now + 20 * MINUTE)

    assert before == [(house.version, "settle", 1)], "its half hour is not over yet"
    assert house.standing() == [(house.version, "waiting", 1)]


def test_what_an_operator_did_survives_another_release(house: Published) -> None:
    house.carts(1)
    house.order("pause", why="wrong price")

    words = house.words(with_cart(LONGER))
    house.apply(with_cart(LONGER))
    house.settle(until=house.now + 2 * HOUR)

    at = "2026-03-02T12:00:00Z"
    assert words.endswith(
        f'! campaign "cart" is paused by an operator since {at}: wrong price (it stays)'
    )
    assert [row[1:] for row in house.standing()] == [("settle", 1)]
    with house.process.database.read() as connection:
        (cart,) = campaigns(connection)
    assert (cart.state, cart.why, cart.n_inside, cart.n_older) == ("paused", "wrong price", 1, 1)


def test_a_drained_campaign_empties_and_opens_again(house: Published) -> None:
    house.carts(1)
    house.order("drain")
    house.carts(1, first=2)
    house.settle(until=house.now + 9 * HOUR)
    drained = (house.standing(), house.messages("soft"))

    house.order("resume")
    house.carts(1, first=3)

    assert drained == ([], [("queued", "")])
    assert house.standing() == [(house.version, "settle", 1)]


def test_who_was_paused_and_is_drained_walks_on(house: Published) -> None:
    house.carts(1)
    house.order("pause")
    house.settle(until=house.now + HOUR)

    house.order("drain")
    house.settle()

    assert house.standing() == [(house.version, "waiting", 1)]


def test_everyone_unenrolled_leaves_with_the_reason_and_may_come_again(house: Published) -> None:
    house.carts(3)

    done = house.order("unenrol", why="sent in error")
    house.settle()

    assert done.n_people == 3
    assert statuses(house) == [("dropped", "unenrolled: sent in error", 3)]
    house.carts(1, first=4)
    house.settle()
    assert house.standing() == [(house.version, "settle", 1)], "an order is for who was inside"


def test_those_at_one_step_are_unenrolled_and_the_others_stay(house: Published) -> None:
    house.carts(2)
    house.settle(until=house.now + 31 * MINUTE)
    house.carts(1, first=3)

    done = house.order("unenrol", step="waiting")
    house.settle()

    assert done.n_people == 2
    assert house.standing() == [(house.version, "settle", 1)]


def test_one_person_is_unenrolled_also_if_a_merge_comes_first(house: Published) -> None:
    """The order names a profile that is another one's by the time it is met."""
    house.identify("u1")
    house.send(
        {
            "type": "track", "anonymousId": "a1", "event": "Product Added",
            "properties": {"cart": "c2"},
        }
    )  # fmt: skip
    house.carts(1, first=2)
    house.settle()

    house.order("unenrol", profile="a1")
    house.send({"type": "identify", "anonymousId": "a1", "userId": "u1", "traits": {}})
    house.settle()

    assert house.standing() == [(house.version, "settle", 1)]
    assert house.rows(
        "SELECT p.external_id FROM enrollment e JOIN profile p ON p.id = e.profile_id "
        "WHERE e.status = 'active'"
    ) == [("u2",)]


def test_a_batch_by_an_older_release_does_not_use_up_the_wake_that_an_order_brings(
    house: Published,
) -> None:
    """As in a server, in the moment between the order's commit and the load of its release."""
    house.carts(1)
    older = house.process.playbook
    house.order("unenrol")
    newer = house.process.playbook
    house.process.ticker = Ticker(
        house.process.database,
        vault=house.process.vault,
        log=house.process.log,
        owner="follower",
        follows_releases=True,
    )

    house.process.playbook = older
    refused = house.tick()
    house.process.playbook = newer
    house.settle()

    assert refused.is_outdated
    assert statuses(house) == [("dropped", "unenrolled by an operator", 1)]


def test_who_enters_after_an_unenrolment_stays_though_a_merge_brings_someone_it_has_not_met(
    house: Published,
) -> None:
    """The visitor sleeps through the order; the merge takes over that nothing was met since."""
    house.send({"type": "track", "anonymousId": "a1", "event": "Product Viewed"})
    house.carts(1)
    house.order("unenrol")
    house.settle()
    house.track("u1", "Product Added", cart="again")
    house.settle()

    house.send({"type": "identify", "anonymousId": "a1", "userId": "u1", "traits": {}})
    house.settle()

    assert house.standing() == [(house.version, "settle", 1)]


@pytest.mark.parametrize("place", ["step commit", "tick commit"])
def test_a_crash_in_the_middle_of_an_unenrolment_ends_in_the_same(
    house: Published, place: str
) -> None:
    house.carts(3)
    house.order("unenrol")

    with dying_at(place):
        house.tick(limit=2)
    house.restart()
    house.settle()

    assert statuses(house) == [("dropped", "unenrolled by an operator", 3)]


def test_only_those_concerned_are_woken(house: Published) -> None:
    house.carts(2)
    house.identify("u9")
    house.settle()
    before = {
        row[0] for row in house.rows("SELECT profile_id FROM timer WHERE due <= ?", house.now)
    }

    house.order("unenrol")

    woken = {row[0] for row in house.rows("SELECT profile_id FROM timer WHERE due <= ?", house.now)}
    assert before == set()
    assert len(woken) == 2


def test_an_order_that_changes_nothing_makes_no_release(house: Published) -> None:
    house.order("pause")

    again = house.order("pause")
    nobody = house.order("unenrol")

    assert (again.release, again.held) == (0, "paused")
    assert (nobody.release, nobody.n_people) == (0, 0)
    assert house.rows("SELECT count(*) FROM release") == [(2,)]


def test_an_unenrolment_is_forgotten_once_nobody_can_be_concerned(house: Published) -> None:
    house.carts(1)
    house.order("unenrol")
    house.settle()
    house.now += MINUTE
    house.carts(1, first=2)

    house.order("unenrol")

    assert len(house.process.playbook.program.unenrolments) == 1


def test_a_removed_campaign_can_still_be_held_while_people_are_inside(house: Published) -> None:
    house.carts(1)
    house.apply({name: it for name, it in FILES.items() if name != "campaigns/cart.yaml"})

    house.order("pause")
    house.settle(until=house.now + 9 * HOUR)

    assert [row[1:] for row in house.standing()] == [("settle", 1)]


@pytest.mark.parametrize(
    ("action", "campaign", "about", "words"),
    [
        ("pause", "carts", {}, 'there is no campaign "carts". Did you mean "cart"?'),
        ("unenrol", "cart", {"step": "wating"}, 'no step "wating". Did you mean "waiting"?'),
        ("unenrol", "cart", {"profile": "u77"}, 'no profile has the id "u77"'),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    house: Published, action: str, campaign: str, about: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        house.order(action, campaign, **about)
