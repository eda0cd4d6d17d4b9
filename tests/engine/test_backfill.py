"""Changed definitions are backfilled in batches while life goes on, and swap in at once."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.load import load_bundle
from engine import failpoints
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.failpoints import Crash
from engine.operations import operations
from engine.release import drafts, publish
from engine.release.backfill import Backfilling
from engine.release.live import load_playbook
from engine.running import Running
from engine.settings import read_settings
from engine.steady import elapsed
from engine.store import migrate
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.read_through import read_through
from tests.engine.backfilled_shop import NOON, Shop, everyone, files, some_events

SEEDS = range(8)
FAILPOINTS = ("draft commit", "backfill live", "backfill wake", "step commit")
STEPS_MAX = 500


@pytest.fixture(autouse=True)
def everyone_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "PROFILES_AT_ONCE", 1)


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """More databases to compare with; of them it does not matter which."""
    opened: list[Database] = []

    def open_one() -> Database:
        database = Database(f"sqlite:///{tmp_path / f'other{len(opened)}.db'}")
        migrate.upgrade(database)
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        database.close()


def live_on(shop: Shop, rng: random.Random, *, n_rounds: int) -> None:
    for _ in range(n_rounds):
        shop.send(*some_events(rng, n=rng.randint(1, 6), at=shop.now))
        shop.wait(rng.choice((SECOND, MINUTE, 25 * MINUTE, 2 * HOUR)))
    shop.settle()


def to_the_end(shop: Shop) -> None:
    """Whatever is under way is brought to its end, and everyone has taken it up."""
    for _ in range(STEPS_MAX):
        if shop.step():
            continue
        shop.settle()
        if not shop.rows("SELECT id FROM backfill"):
            return
        shop.now += MINUTE  # the last step waits until no process can be late
    pytest.fail("the backfill makes no progress")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_backfilled_is_what_an_engine_with_the_definitions_from_the_start_has(
    seed: int, database: Database, another: Callable[[], Database]
) -> None:
    """While it is prepared people come, act, fall due and turn out to be one another."""
    asks = seed % 2 == 0
    shop = Shop(database, asks_content=asks)
    reference = Shop(another(), is_new=True, asks_content=asks)
    rng = random.Random(seed)
    for each in (shop, reference):
        live_on(each, random.Random(f"past {seed}"), n_rounds=15)

    shop.begin()
    while shop.rows("SELECT id FROM backfill WHERE stage <> 'settling'"):
        what = rng.randrange(4)
        if what == 0:
            events = some_events(rng, n=rng.randint(1, 6), at=shop.now)
            shop.send(*events)
            reference.send(*events)
            reference.settle()
        elif what == 1:
            shop.tick()
        elif what == 2:
            shop.now += rng.choice((SECOND, 20 * MINUTE))
            reference.now = shop.now
            reference.settle()
        else:
            shop.step()
    to_the_end(shop)
    reference.now = shop.now
    for each in (shop, reference):
        each.wait(MINUTE)
        live_on(each, random.Random(f"future {seed}"), n_rounds=5)

    assert shop.remembered() == reference.remembered()
    assert shop.members() == reference.members()


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_not_woken_misses_nothing(
    seed: int, database: Database, another: Callable[[], Database]
) -> None:
    """Against a release that goes live at once and wakes everybody, as it does for few people."""
    asks = seed % 2 == 0
    drafted = Shop(database, asks_content=asks)
    woken = Shop(another(), asks_content=asks)
    for each in (drafted, woken):
        live_on(each, random.Random(f"past {seed}"), n_rounds=15)

    drafted.publish(build=lambda: drafted.backfilling.run(clock=lambda: drafted.now))
    woken.publish()
    for each in (drafted, woken):
        each.settle()
        live_on(each, random.Random(f"future {seed}"), n_rounds=12)

    assert drafted.journeys() == woken.journeys()
    assert drafted.members() == woken.members()


def test_a_session_that_began_before_its_window_is_drafted_whole(
    database: Database, another: Callable[[], Database]
) -> None:
    """The log is read as far back as can matter; a session may have begun long before that."""
    shop, reference = Shop(database), Shop(another(), is_new=True)
    for each in (shop, reference):
        for user in ("u1", "u2"):
            each.send({"type": "track", "userId": user, "event": "Page Seen"})
        for _ in range(14):
            each.send({"type": "track", "userId": "u1", "event": "Page Seen"})
            each.wait(20 * MINUTE)

    shop.begin()
    while shop.rows("SELECT id FROM backfill WHERE stage = 'preparing'"):
        shop.step()

    # Long enough for "busy", so settled; measured whole for "brief".
    ((_, settled_ended, n_counted),), ((began, ended, n_events),) = sessions_of(reference)
    assert (settled_ended, n_counted) == (ended, 0)
    assert (ended - began, n_events) == (13 * 20 * MINUTE, 15)
    assert sessions_of(shop) == sessions_of(reference)


def sessions_of(shop: Shop) -> list[list[list[int]]]:
    """Each feature's sessions of the first profile, as they stand in its state or in its draft."""
    with shop.database.read() as connection:
        draft = drafts.read(connection, [1]).get(1)
        features = draft.features if draft else everyone(connection)[1].person.state.features
    return sorted(it[0] for it in features.values() if it and isinstance(it[0], list) and
                  it[0] and isinstance(it[0][0], list))  # fmt: skip


def test_only_those_a_release_concerns_are_woken_and_the_others_take_it_up_later(
    database: Database,
) -> None:
    """The law above would hold of an engine that wakes everyone."""
    shop = Shop(database)
    shop.send({"type": "track", "userId": "u1", "event": "Page Seen"})
    shop.send({"type": "track", "userId": "u2", "event": "Product Added"})
    shop.wait(HOUR)

    shop.publish(build=lambda: shop.backfilling.run(clock=lambda: shop.now))
    woken = shop.rows(f"SELECT profile_id FROM timer WHERE due <= {NOON + HOUR}")
    shop.settle()
    at_once = released(shop)
    to_the_end(shop)

    assert woken == [(2,)]
    assert at_once == {1: 1, 2: 2}
    assert released(shop) == {1: 2, 2: 2}
    assert shop.rows("SELECT count(*) FROM draft") == [(0,)]


def released(shop: Shop) -> dict[int, int]:
    """The release that each profile goes by."""
    with shop.database.read() as connection:
        return {key: it.person.state.release for key, it in everyone(connection).items()}


def test_nobody_goes_by_a_release_that_is_being_prepared(database: Database) -> None:
    shop = Shop(database)
    for user in range(1, 8):
        shop.send({"type": "track", "userId": f"u{user}", "event": "Product Added"})
    shop.wait(HOUR)
    shop.begin()
    shop.step()

    shop.send({"type": "track", "userId": "u1", "event": "Order Completed"})
    shop.settle()
    is_halfway = drafted_share(shop)

    assert 0 < is_halfway < 1
    assert shop.rows("SELECT max(number) FROM release") == [(1,)]
    assert shop.rows("SELECT DISTINCT segment FROM membership") == [("gone",)]
    assert shop.rows("SELECT count(*) FROM enrollment") == [(0,)]


def drafted_share(shop: Shop) -> float:
    with shop.database.read() as connection:
        under_way = drafts.current(connection)
    assert under_way is not None
    assert under_way.words == f"backfilling {int(under_way.done_share * 100)} %"
    return under_way.done_share


@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_crash_anywhere_in_a_backfill_costs_one_batch(
    name: str, database: Database, another: Callable[[], Database]
) -> None:
    shop, undisturbed = Shop(database), Shop(another())
    for each in (shop, undisturbed):
        live_on(each, random.Random("a past"), n_rounds=12)
        each.begin()
    deaths = Dying(name, every=2)

    with deaths:
        for _ in range(STEPS_MAX):
            try:
                to_the_end(shop)
                break
            except Crash:
                shop.start()
    to_the_end(undisturbed)

    assert deaths.n > 0
    assert shop.remembered() == undisturbed.remembered()
    assert shop.journeys() == undisturbed.journeys()
    assert shop.rows("SELECT count(*) FROM draft") == [(0,)]


class Dying:
    """Every second time a failpoint is reached, the process dies there."""

    def __init__(self, name: str, *, every: int) -> None:
        self.name, self.every, self.hits, self.n = name, every, 0, 0

    def __enter__(self) -> None:
        failpoints.install(self._at)

    def __exit__(self, *_: object) -> None:
        failpoints.install(None)

    def _at(self, name: str) -> None:
        if name == self.name:
            self.hits += 1
            if self.hits % self.every == 1:
                self.n += 1
                raise Crash


def test_of_two_processes_that_prepare_the_same_batch_one_commits_it(
    database: Database, another: Callable[[], Database]
) -> None:
    """The slower one finds the row of progress moved on, in whatever stage that happens."""
    shop, alone = Shop(database), Shop(another())
    for each in (shop, alone):
        live_on(each, random.Random("a past"), n_rounds=12)
        each.begin()
    faster = Backfilling(database, vault=shop.vault, batch=3)

    def overtaken(work: Callable[[Connection], Any]) -> Any:
        faster.step(now=shop.now)
        return shop._write(work)

    shop.backfilling = Backfilling(database, vault=shop.vault, write=overtaken, batch=3)
    to_the_end(shop)
    to_the_end(alone)

    assert shop.rows("SELECT number FROM release ORDER BY number") == [(1,), (2,)]
    assert shop.remembered() == alone.remembered()
    assert shop.journeys() == alone.journeys()


def test_the_same_files_again_go_on_and_the_live_ones_end_it(database: Database) -> None:
    shop = Shop(database, batch=1)
    live_on(shop, random.Random(1), n_rounds=6)
    shop.begin()
    shop.step()
    before = drafted_share(shop)

    shop.begin()
    again = drafted_share(shop)
    with database.write() as connection:
        publish.apply(connection, load_bundle(files(is_new=False), environ={}), now=shop.now)

    assert again == before > 0
    assert shop.rows("SELECT count(*) FROM draft") == [(0,)]
    assert not shop.step()


def test_few_people_wait_for_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "PROFILES_AT_ONCE", 1_000)
    shop = Shop(database)
    live_on(shop, random.Random(1), n_rounds=3)

    done = shop.publish(build=lambda: pytest.fail("nothing was to be built"))

    assert done["release"] == 2
    assert shop.rows("SELECT count(*) FROM backfill") == [(0,)]


def test_a_release_without_new_features_goes_live_at_once(database: Database) -> None:
    shop = Shop(database, is_new=True)
    live_on(shop, random.Random(1), n_rounds=3)
    changed = {**files(is_new=True), "templates/sms/hi.txt": b"Hello.\n"}
    done = publish.publish(
        database,
        load_bundle(changed, environ={}),
        write=shop._write,
        now=lambda: shop.now,
        build=lambda: pytest.fail("nothing was to be built"),
    )

    assert done["release"] == 2


def test_a_running_engine_prepares_a_release_and_plays_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`antiphon apply` beside `serve`: the threads do it, and the command waits for them."""
    monkeypatch.setenv("ANTIPHON_SECRET_KEY", "the secret of this test, none")
    for path, text in files(is_new=False).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text)
    settings = read_settings(tmp_path)
    database = Database(settings.database_url)
    migrate.upgrade(database)
    shop = Shop(database)
    live_on(shop, random.Random(1), n_rounds=6)
    failures: list[str] = []
    running = Running(
        settings,
        database,
        public_url="http://127.0.0.1",
        load=lambda database, vault: load_playbook(database, vault=vault),
        failed=failures.append,
    )
    running.start(every={})

    try:
        new = {path: text.decode() for path, text in files(is_new=True).items()}
        done = operations(running, keys_changed=lambda: None)["apply"]({"files": new})
        deadline = elapsed() + 30 * SECOND
        while 2 not in released(shop).values() and elapsed() < deadline:
            running._stop.wait(0.05)
    finally:
        running.stop()

    assert not failures
    assert done["release"] == 2
    assert running.playbook is not None
    assert running.playbook.program.release == 2
    assert 2 in released(shop).values()
    database.close()


def test_the_file_is_read_through_once_unless_it_exceeds_the_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_file = database.dialect == "sqlite"

    n_bytes = read_through(database)
    monkeypatch.setattr("engine.store.read_through.MEMORY_SHARE_MAX", 0)
    too_large = read_through(database)

    assert (n_bytes > 0) == is_file
    assert too_large == 0
