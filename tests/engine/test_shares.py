"""How workers share partitions: fairly, by lease, and with merges that cross between them."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.errors import NotOwner
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.failpoints import Crash
from engine.store import claims, people, shares
from engine.store.connection import Row
from engine.store.database import Database
from engine.ticking.tick import Ticker
from tests.rig.recorder import Recorder, recording
from tests.rig.stage import NOON, Stage, an_event

LEASE = MINUTE


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


def take(database: Database, owner: str, *, now: Instant = NOON) -> claims.Lease:
    with database.write() as connection:
        return shares.take_share(connection, owner=owner, now=now, lease_until=now + LEASE)


def owners(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute("SELECT owner FROM partition ORDER BY number")
    return [row[0] for row in rows]


def a_worker(stage: Stage, owner: str, *, lease: int = LEASE) -> Ticker:
    process = stage.process
    return Ticker(
        process.database, vault=process.vault, log=process.log, owner=owner,
        write=process.write, lease=lease,
    )  # fmt: skip


def work(stage: Stage, *workers: Ticker, limit: int = 3) -> None:
    """Tick in turns until nobody has anything left to do."""
    is_idle = False
    while not is_idle:
        is_idle = True
        for worker in workers:
            at = stage.now
            done = worker.tick(stage.process.playbook, floor=at, horizon=at, limit=limit)
            is_idle = is_idle and done.is_idle


def test_a_lone_worker_takes_all_and_a_second_gets_half_of_it(database: Database) -> None:
    alone = take(database, "a")
    beside = take(database, "b")
    after = take(database, "a")
    second = take(database, "b")

    assert (len(alone.held), len(beside.held)) == (16, 0)
    assert (len(after.held), len(second.held)) == (8, 8)
    assert sorted({*after.held, *second.held}) == list(range(16))


@pytest.mark.parametrize("n", [3, 5, 7, 16])
def test_everything_is_given_away_and_nobody_has_two_more_than_another(
    database: Database, n: int
) -> None:
    for _ in range(3):
        held = [len(take(database, f"w{number:02}").held) for number in range(n)]

    assert sum(held) == 16
    assert max(held) - min(held) <= 1


def test_a_worker_beyond_the_number_of_partitions_waits_for_a_death(database: Database) -> None:
    for _ in range(3):
        held = [len(take(database, f"w{number:02}").held) for number in range(17)]

    assert held == [1] * 16 + [0]


def test_what_a_dead_worker_had_is_taken_when_its_lease_has_run_out(database: Database) -> None:
    take(database, "dead")

    before = take(database, "next", now=NOON + LEASE - 1)
    after = take(database, "next", now=NOON + LEASE)

    assert len(before.held) == 0
    assert after.taken == frozenset(range(16))


def test_a_clean_stop_leaves_everything_to_the_next_at_once(database: Database) -> None:
    take(database, "first")
    with database.write() as connection:
        shares.leave(connection, owner="first")

    assert len(take(database, "second", now=NOON + 1).held) == 16


def test_an_epoch_that_is_over_moves_nothing(database: Database) -> None:
    stale = take(database, "a")
    take(database, "b", now=NOON + LEASE)

    with pytest.raises(NotOwner), database.write() as connection:
        claims.advance(connection, stale, position=7, attempts=0)

    with database.read() as connection:
        assert connection.execute("SELECT max(position) FROM partition") == [(0,)]


def test_a_claim_of_ones_own_also_ends_the_epoch_before_it(database: Database) -> None:
    lost_sight_of = take(database, "a")
    take(database, "a")

    with pytest.raises(NotOwner), database.write() as connection:
        claims.advance(connection, lost_sight_of, position=7, attempts=0)


def test_a_batch_renews_the_lease_of_its_partitions(database: Database) -> None:
    lease = take(database, "a")
    with database.write() as connection:
        until = NOON + 2 * LEASE
        claims.advance(connection, lease, position=1, attempts=0, lease_until=until)

    assert len(take(database, "b", now=NOON + LEASE + 1).held) == 0


def test_a_partition_with_a_call_under_way_is_not_given_up(stage: Stage) -> None:
    database = stage.process.database
    for number in range(1, 5):
        stage.a_receipt(f"u{number}", f"o{number}")
    take(database, "a")
    take(database, "b")
    with database.write() as connection:
        connection.execute("UPDATE message SET status = 'attempting'")
    calling = {row[0] for row in stage.rows("SELECT DISTINCT profile_id % 16 FROM message")}

    lease = take(database, "a")
    surplus = set(range(8, 16)) & calling

    assert lease.leaving == surplus
    assert set(range(8)) <= set(lease.held)
    assert surplus <= set(lease.held)


def test_two_workers_play_each_profile_once(stage: Stage) -> None:
    one, two = a_worker(stage, "one"), a_worker(stage, "two")
    for worker in (one, two, one, two):
        worker.claim(now=stage.now)
    for number in range(1, 21):
        stage.identify(f"u{number}")
        stage.track(f"u{number}", "Order Completed", order=f"o{number}")

    work(stage, one, two)

    assert len(stage.messages("receipt")) == 20
    assert len(set(owners(stage.process.database))) == 2


def test_one_who_takes_over_goes_on_where_the_other_stood(stage: Stage) -> None:
    """Its own partitions are further than those that come to it: both are played once."""
    one, two = a_worker(stage, "one"), a_worker(stage, "two")
    for worker in (one, two, one, two):
        worker.claim(now=stage.now)
    for number in range(1, 21):
        stage.track(f"u{number}", "Order Completed", order=f"o{number}")
    work(stage, two)
    half = len(stage.messages("receipt"))
    stage.now += 2 * LEASE

    stage.track("u3", "Order Completed", order="o33")
    stage.track("u4", "Order Completed", order="o44")
    work(stage, two)

    assert 0 < half < 20
    assert len(stage.messages("receipt")) == 22


def test_a_release_met_after_a_takeover_builds_on_each_partitions_own_past(stage: Stage) -> None:
    one, two = a_worker(stage, "one"), a_worker(stage, "two")
    for worker in (one, two, one, two):
        worker.claim(now=stage.now)
    users = [f"u{number}" for number in range(1, 9)]
    for user in users:
        stage.track(user, "Product Viewed")
        stage.track(user, "Order Completed", order=f"o-{user}")
    work(stage, one, two)
    for user in users:
        stage.track(user, "Product Viewed")
        stage.now += SECOND
    work(stage, two)
    stage.now += 2 * LEASE

    stage.process.apply(2, now=stage.now)
    work(stage, two)

    wanted = stage.process.playbook.segments.feature_keys
    for user in users:
        state = stage.state(user).state
        assert state.release == 2
        assert set(state.features) <= wanted
        assert state.memberships["engaged"].matches


def test_an_event_that_kills_its_workers_is_parked_and_no_other(stage: Stage) -> None:
    """Each death gives the partitions to somebody else, together with others: whatever is tried
    with care is still tried alone, and nobody is parked for a neighbour."""
    for number in range(1, 13):
        stage.identify(f"u{number}")
    stage.settle()
    stage.send(
        *(an_event(f"u{n}", "Order Completed", order=f"o{n}") for n in range(1, 7)),
        an_event("u5", "Product Viewed", poison="kill"),
        *(an_event(f"u{n}", "Order Completed", order=f"o{n}") for n in range(7, 13)),
    )
    workers = {name: a_worker(stage, name) for name in ("w1", "w2", "w3")}
    deaths = 0

    with recording(Recorder()):
        for turn in range(400):
            name = f"w{turn % 3 + 1}"
            try:
                at = stage.now
                workers[name].tick(stage.process.playbook, floor=at, horizon=at, limit=4)
            except Crash:
                deaths += 1
                workers[name] = a_worker(stage, f"{name} reborn {deaths}")
            stage.now += LEASE // 20

    parked = stage.rows("SELECT kind, payload FROM parked")
    assert [kind for kind, _ in parked] == ["event"]
    assert "poison" in parked[0][1]
    assert 5 <= deaths <= 8
    assert len(stage.messages("receipt")) == 12


# --- merges ---------------------------------------------------------------------------------


def test_a_loser_that_is_ahead_waits_for_nobody_and_its_winner_waits_for_it(stage: Stage) -> None:
    loser, winner, one, two = a_merge_between_workers(stage)

    at = stage.now
    before = two.tick(stage.process.playbook, floor=at, horizon=at)
    is_waiting = not stage.rows("SELECT 1 FROM profile WHERE merged_into IS NOT NULL")
    work(stage, one, two)

    assert before.is_idle or before.n_events > 0
    assert is_waiting
    assert stage.rows(f"SELECT merged_into FROM profile WHERE id = {loser}") == [(winner,)]
    assert stage.rows(f"SELECT count(*) FROM profile_state WHERE profile_id = {loser}") == [(0,)]
    ((n,),) = stage.rows(f"SELECT count(*) FROM enrollment WHERE profile_id = {loser}")
    assert n == 0


def test_a_closed_loser_is_played_no_more(stage: Stage) -> None:
    loser, _, one, two = a_merge_between_workers(stage)
    work(stage, one)  # closes it; its winner's worker has not come so far
    stage.now += HOUR  # its cart's step is due, and belongs to the winner now

    work(stage, one)
    early = stage.rows("SELECT id FROM message WHERE campaign = 'cart'")
    work(stage, one, two)
    late = stage.rows("SELECT id FROM message WHERE campaign = 'cart'")

    assert early == []
    assert len(late) == 1
    assert stage.rows(f"SELECT 1 FROM timer WHERE profile_id = {loser}") == []


def a_merge_between_workers(stage: Stage) -> tuple[int, int, Ticker, Ticker]:
    """A visitor with a cart becomes a known user: (loser, winner, its worker, the winner's).

    Profiles 1 to 8 are fillers, so that 9, the winner, is the second worker's and 16 + n the
    first's.
    """
    one, two = a_worker(stage, "one", lease=DAY), a_worker(stage, "two", lease=DAY)
    for worker in (one, two, one, two):
        worker.claim(now=stage.now)
    for number in range(1, 9):
        stage.identify(f"u{number}")
    stage.identify("u9")
    for number in range(10, 18):
        stage.identify(f"u{number}")
    stage.send(a_visit("device", "Product Added", cart="c9"))
    work(stage, one, two)
    stage.now += MINUTE
    stage.send({"type": "identify", "userId": "u9", "anonymousId": "device", "traits": {}})
    identities: dict[str, int] = dict(
        stage.rows("SELECT value, profile_id FROM identity WHERE kind = 'user'")
    )
    winner = identities["u9"]
    ((loser,),) = stage.rows(
        "SELECT CAST(substr(properties, 10, length(properties) - 10) AS bigint) "
        "FROM event WHERE flags = 4"
    )
    assert winner % 16 >= 8 > loser % 16
    return loser, winner, one, two


def a_visit(device: str, event: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "anonymousId": device, "event": event, "properties": properties}


@pytest.mark.parametrize("seed", range(6))
def test_many_workers_come_to_what_one_engine_comes_to(
    seed: int, database_url: str, tmp_path: Any
) -> None:
    """Merges everywhere: whoever owns which side, people end as they do with a single owner."""
    ends: list[Any] = []
    for n_workers in (1, 3):
        path = tmp_path / f"{n_workers}.db"
        url = database_url if n_workers > 1 else _a_sqlite_database(path)
        stage = Stage(url)
        ends.append(_lived(stage, random.Random(seed), n_workers=n_workers))
        stage.close()

    assert ends[0] == ends[1]
    assert len(ends[0][2]) > 1, "nobody turned out to be somebody"


def _a_sqlite_database(path: Any) -> str:
    from engine.store import migrate

    url = f"sqlite:///{path}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    return url


def _lived(stage: Stage, rng: random.Random, *, n_workers: int) -> Any:
    """Rounds of traffic with merges, then everything in turns; what is left of everybody."""
    turns = random.Random(rng.random())
    workers = [a_worker(stage, f"w{number}", lease=DAY) for number in range(n_workers)]
    if n_workers == 1:
        workers = [stage.process.ticker]
    for worker in workers * 3:
        worker.claim(now=stage.now)
    for _ in range(16):
        for _ in range(rng.randint(1, 8)):
            person = rng.randrange(8)
            device = f"{person}-{rng.randrange(4)}"
            names = ("Product Viewed", "Product Added", "Order Completed")
            event = rng.choice(names)
            given = {"cart": f"c{rng.randrange(2)}", "order": f"o{rng.random()}"}
            kind = rng.random()
            if kind < 0.5:
                stage.send(a_visit(f"d{device}", event, **given))
            elif kind < 0.75:
                stage.send(an_event(f"u{person}", event, **given))
            else:
                stage.send({
                    "type": "identify", "userId": f"u{person}", "anonymousId": f"d{device}",
                    "traits": {"email": f"u{person}@example.com", "consent": _CONSENT},
                })  # fmt: skip
            stage.now += rng.randrange(1, 20 * SECOND)
        if n_workers > 1:  # not all get equally far, and in no order
            at = stage.now
            for worker in turns.choices(workers, k=4):
                worker.tick(stage.process.playbook, floor=at - DAY, horizon=at, limit=2)
        stage.now += rng.choice((SECOND, 10 * MINUTE))
    for worker in workers * 2:
        worker.claim(now=stage.now)
    _play_all(stage, workers)
    return _left(stage)


_CONSENT = {"email": {"offers": True}, "sms": {"offers": True}}


def _play_all(stage: Stage, workers: list[Ticker]) -> None:
    """Every item at its own instant, whenever it is played: only then is there one right end."""
    is_idle = False
    while not is_idle:
        is_idle = True
        for worker in workers:
            done = worker.tick(stage.process.playbook, floor=0, horizon=stage.now, limit=5)
            is_idle = is_idle and done.is_idle


def _left(stage: Stage) -> list[Any]:
    """Everybody by their name: segments, enrollments and messages, without the numbers of rows."""
    names: dict[int, str] = dict(stage.rows("SELECT id, external_id FROM profile"))
    ids = [row[0] for row in stage.rows("SELECT id FROM profile WHERE merged_into IS NULL")]
    with stage.process.database.read() as connection:
        loaded = people.load(connection, ids)
    order = [row[0] for row in stage.rows("SELECT seq FROM event WHERE flags <> 2 ORDER BY seq")]
    found: list[Any] = []
    for id, it in loaded.items():
        enrollments = stage.rows(
            "SELECT campaign, key, status, step, entered_at, step_at, due_at, reason, variants "
            f"FROM enrollment WHERE profile_id = {id}"
        )
        inside = sorted(people.members_of(it.person.state.memberships))
        state = (_numbered(it.person.state.features, order), sorted(it.person.state.exposures))
        found.append((names[id], inside, str(state), sorted(map(str, enrollments))))
    messages = stage.rows(
        "SELECT campaign, step, visit, channel, template, status, reason, at, due_at FROM message"
    )
    return [sorted(found), sorted(map(str, messages)), sorted(_merges(stage, names))]


def _numbered(value: Any, order: list[int]) -> Any:
    """Features with the places of events in the log counted without the engine's own, which come
    in when they are played."""
    if isinstance(value, dict):
        return {key: _numbered(each, order) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(each, order) for each in value]
    return order.index(value) if value in order else value


def _merges(stage: Stage, names: dict[int, str]) -> list[tuple[str, str]]:
    rows: list[Row] = stage.rows("SELECT id, merged_into FROM profile WHERE merged_into > 0")
    return [(names[loser], names[winner]) for loser, winner in rows]
