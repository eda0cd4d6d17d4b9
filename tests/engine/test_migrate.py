"""Rule 6 through the whole engine, on both databases: a new version meets the people inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine import failpoints
from engine.core.model.instants import HOUR, MINUTE
from engine.failpoints import Crash
from engine.release.publish import go_live, prepare
from tests.engine.publishing import FILES, Published, with_cart

LONGER = ("delay: 30m", "delay: 3h")
MIGRATE = ("journey:", "migrate: {from: any}\njourney:")
RENAMED = ("id: settle", "id: calm")


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    yield opened
    opened.close()


@contextmanager
def dying_at(name: str) -> Iterator[None]:
    def at(hit: str) -> None:
        if hit == name:
            raise Crash

    failpoints.install(at)
    try:
        with pytest.raises(Crash):
            yield
    finally:
        failpoints.install(None)


def test_rule_6_people_inside_finish_on_the_version_they_came_in_on(house: Published) -> None:
    house.carts(1)
    first = house.version

    house.apply(with_cart(LONGER))
    house.carts(1, first=2)
    second = house.version
    house.settle(until=house.now + 31 * MINUTE)

    assert sorted(house.standing()) == sorted([(first, "waiting", 1), (second, "settle", 1)])


def test_rule_6_migrate_brings_them_to_the_new_one_where_they_stand(house: Published) -> None:
    house.carts(3)
    start = house.now
    house.now += 10 * MINUTE

    house.apply(with_cart(LONGER, MIGRATE))
    house.settle()

    assert house.standing() == [(house.version, "settle", 3)]
    assert house.rows("SELECT DISTINCT step_at, due_at FROM enrollment") == [
        (start, start + 3 * HOUR)
    ]
    house.settle(until=start + 6 * HOUR)
    assert house.messages("soft") == [("queued", "")] * 3


def test_rule_6_who_is_due_by_the_new_length_goes_on_at_once(house: Published) -> None:
    house.carts(2)
    house.now += 10 * MINUTE
    shorter = with_cart(("delay: 30m", "delay: 5m"), MIGRATE)

    assert "settle: 2 on version" in house.words(shorter)
    assert "-> settle, 2 due at once" in house.words(shorter)
    house.apply(shorter)
    house.settle()

    assert house.standing() == [(house.version, "waiting", 2)]


def test_rule_6_a_step_removed_with_people_in_it_is_refused_with_how_many(
    house: Published,
) -> None:
    house.carts(12)
    first = house.version

    with pytest.raises(InvalidWorkspace) as refused:
        house.apply(with_cart(RENAMED))

    assert str(refused.value) == (
        f'campaigns/cart.yaml:1: 12 people stand at the step "settle" of version {first} of '
        '"cart", which is gone. Lead them on: migrate: {from: any, steps: {settle: STEP}}. Or let '
        "everyone finish on their version: migrate: {from: none}. Or end it for them first: "
        "antiphon campaign unenrol cart --step settle"
    )
    assert house.version == first
    assert house.rows("SELECT count(*) FROM release") == [(1,)]


def test_rule_6_a_migration_that_does_not_lead_everyone_on_is_refused(house: Published) -> None:
    house.carts(2)

    with pytest.raises(InvalidWorkspace) as refused:
        house.apply(with_cart(RENAMED, MIGRATE))

    assert str(refused.value).startswith('campaigns/cart.yaml:5: 2 people stand at the step "sett')
    assert "Lead them on under migrate: steps: {settle: STEP}." in str(refused.value)


@pytest.mark.parametrize(
    ("migrate", "is_moved"),
    [("{from: any, steps: {settle: calm}}", True), ("{from: none}", False)],
)
def test_rule_6_a_mapped_step_may_go_and_so_may_one_whose_people_are_let_finish(
    house: Published, migrate: str, is_moved: bool
) -> None:
    house.carts(2)
    first = house.version

    house.apply(with_cart(RENAMED, ("journey:", f"migrate: {migrate}\njourney:")))
    house.settle()

    moved, stayed = (house.version, "calm", 2), (first, "settle", 2)
    assert house.standing() == [moved if is_moved else stayed]


def test_rule_6_a_version_that_never_was_is_refused(house: Published) -> None:
    house.carts(1)

    with pytest.raises(InvalidWorkspace, match='"cart" never had the version 0123456789ab here'):
        house.apply(with_cart(LONGER, ("journey:", "migrate: {from: 0123456789ab}\njourney:")))


def test_rule_6_from_one_version_moves_only_its_people(house: Published) -> None:
    house.carts(1)
    first = house.version
    house.apply(with_cart(LONGER))
    house.carts(1, first=2)
    second = house.version

    third = with_cart(
        ("delay: 30m", "delay: 9h"), ("journey:", f"migrate: {{from: {second}}}\njourney:")
    )
    house.apply(third)
    house.settle()

    assert sorted(house.standing()) == sorted([(first, "settle", 1), (house.version, "settle", 1)])


def test_rule_6_two_moves_in_one_breath_are_both_made(house: Published) -> None:
    """The second release came before anyone had met the first."""
    house.carts(2)
    renamed = ("journey:", "migrate: {from: any, steps: {settle: calm}}\njourney:")
    house.apply(with_cart(RENAMED, renamed))
    again = ("journey:", "migrate: {from: any, steps: {settle: rest, calm: rest}}\njourney:")
    house.apply(with_cart(("id: settle", "id: rest"), again))

    house.restart()
    house.settle()

    assert house.standing() == [(house.version, "rest", 2)]


@pytest.mark.parametrize("place", ["step commit", "tick commit"])
def test_rule_6_a_crash_while_people_are_moved_moves_each_once(
    house: Published, place: str
) -> None:
    house.carts(3)
    house.apply(with_cart(LONGER, MIGRATE))

    with dying_at(place):
        house.tick(limit=2)
    house.restart()
    house.settle()

    assert house.standing() == [(house.version, "settle", 3)]
    house.settle(until=house.now + 6 * HOUR)
    assert house.messages("soft") == [("queued", "")] * 3


def test_rule_6_a_crash_before_the_release_commits_leaves_the_old_one(house: Published) -> None:
    house.carts(1)
    first = house.version

    with dying_at("release commit"):
        house.apply(with_cart(LONGER, MIGRATE))
    house.restart()
    house.settle()

    assert house.standing() == [(first, "settle", 1)]
    assert house.rows("SELECT count(*) FROM campaign_move") == [(0,)]
    house.apply(with_cart(LONGER, MIGRATE))
    house.settle()
    assert house.standing() == [(house.version, "settle", 1)]


def test_rule_6_two_profiles_that_merge_are_moved_as_one(house: Published) -> None:
    """The loser never met the release; of twins by key the one further along stays."""
    house.identify("u1")
    house.track("u1", "Product Added", cart="c1")
    house.send(
        {
            "type": "track", "anonymousId": "a1", "event": "Product Added",
            "properties": {"cart": "c2"},
        }
    )  # fmt: skip
    house.settle()
    house.apply(with_cart(LONGER, MIGRATE))

    house.send({"type": "identify", "anonymousId": "a1", "userId": "u1", "traits": {}})
    house.settle()

    assert house.standing() == [(house.version, "settle", 2)]
    assert house.rows("SELECT count(DISTINCT profile_id) FROM enrollment") == [(1,)]


def test_a_version_is_forgotten_once_nobody_is_on_it(house: Published) -> None:
    house.carts(1)
    first = house.version
    house.apply(with_cart(LONGER))
    house.reload()
    pinned = set(house.process.playbook.program.pinned)

    house.settle(until=house.now + 9 * HOUR)
    house.reload()

    assert pinned == {("cart", first)}
    assert house.process.playbook.program.pinned == {}


def test_rule_6_who_enters_a_version_while_the_next_one_goes_live_finishes_on_theirs(
    house: Published,
) -> None:
    in_flight = house.process.playbook
    first = house.version
    house.apply(with_cart(LONGER))
    newer = house.process.playbook
    house.process.playbook = in_flight  # a batch that began before the release
    house.carts(1)
    house.process.playbook = newer
    house.now += HOUR

    refused = house.tick()
    standing = house.standing()
    house.reload()
    house.settle(until=house.now + 9 * HOUR)

    assert refused.is_outdated
    assert standing == [(first, "settle", 1)], "nobody is dropped by who does not know better"
    assert [row[0] for row in house.messages("soft")] == ["queued"]


def test_a_version_that_no_load_knows_holds_up_nobody_for_ever(house: Published) -> None:
    house.carts(2)
    house.process.write(
        lambda connection: connection.execute("UPDATE enrollment SET version = 'lost' WHERE id = 1")
    )
    house.now += HOUR

    assert house.tick().is_outdated
    house.settle(until=house.now + 9 * HOUR)

    assert house.rows("SELECT status, reason FROM enrollment WHERE id = 1") == [
        ("dropped", "its campaign version is gone")
    ]
    assert len(house.messages("soft")) == 1


def test_a_campaign_with_people_inside_may_be_deleted_and_they_finish(house: Published) -> None:
    house.carts(2)
    other = {name: it for name, it in FILES.items() if name != "campaigns/cart.yaml"}

    words = house.words(other)
    house.apply(other)
    house.settle(until=house.now + 4 * HOUR)

    assert "2 people inside: 2 finish on the version they are on" in words
    assert house.messages("soft") == [("queued", "")] * 2


def test_rule_6_people_are_moved_also_by_a_release_that_was_built_beforehand(
    house: Published,
) -> None:
    """A backfill wakes only those whom its new features concern; a move concerns others."""
    house.carts(2)
    files = with_cart(LONGER, MIGRATE)
    workspace = load_bundle({name: it.encode() for name, it in files.items()}, environ={})
    with house.process.database.read() as connection:
        ready = replace(prepare(connection, workspace, now=house.now), is_prepared=True)

    house.process.write(lambda connection: go_live(connection, ready, now=house.now))
    house.reload()
    house.settle()

    assert house.standing() == [(house.version, "settle", 2)]
