"""P15: a full disk is a 503 and no damage; work goes on by itself, and a "no" is taken anyway."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import engine.ticking.tick
from channels.delivery import DeliveryEvent
from engine.consent.unsubscribe import withdraw
from engine.core.errors import DiskFull, StoreError
from engine.core.model.instants import MINUTE
from engine.reserve import Reserve
from engine.store.connection import Row
from engine.store.database import Database
from engine.store.migrate import upgrade
from engine.web.services import Services
from tests.engine.test_unsubscribe import a_message, a_profile
from tests.engine.web_harness import App, an_app
from tests.rig import planted_sending as planted
from tests.rig.full_disk import full_at, is_sound, leave_room
from tests.rig.recorder import replaced
from tests.rig.sizes import scaled
from tests.rig.stage import Stage, an_event

ONE_CLICK: dict[str, Any] = {"data": {"List-Unsubscribe": "One-Click"}}
N_FAULTS = scaled(20)
PEOPLE = range(1_000_001, 1_000_041)
"""Beyond the ids that ingest hands out."""


def a_migrated(path: Path) -> str:
    url = f"sqlite:///{path}"
    database = Database(url)
    upgrade(database)
    database.close()
    return url


# --- a fault at every write ---------------------------------------------------------------------


class Day:
    """One small day: people come in, buy, are written to, bounce, say no. Each step is tried
    again until it succeeds, as clients and the engine's loops do."""

    def __init__(self, url: str) -> None:
        self.stage = Stage(url)
        self.n_failed = 0
        self.n_acknowledged = 0

    def live(self) -> None:
        """All steps in order."""
        stage = self.stage
        for user in ("u1", "u2"):
            self._accept(partial(stage.identify, user))
        self._accept(lambda: stage.send(*(an_event("u1", "Product Viewed") for _ in range(3))))
        self._accept(lambda: stage.track("u2", "Order Completed", order="o1"))
        self._accept(lambda: stage.track("u1", "Product Added", cart="c1"))
        self._until_done(stage.settle)
        stage.now += 31 * MINUTE
        self._until_done(stage.settle)
        for channel in ("email", "sms"):
            self._until_done(partial(stage.drain, channel))
        self._until_done(lambda: stage.drain("email"))
        for id, template in stage.rows("SELECT id, template FROM message ORDER BY id"):
            report = DeliveryEvent("clicked", id, f"e{id}", stage.now)
            self._until_done(partial(stage.report, report))
            if template != "receipt":
                self._until_done(partial(self._say_no, id))
        self._until_done(stage.settle)

    def _accept(self, send: Callable[[], Any]) -> None:
        self._until_done(send)
        self.n_acknowledged += 1

    def _say_no(self, message: int) -> None:
        stage = self.stage
        stage.process.write(
            lambda it: withdraw(
                it, message=message, scope="topic", log=stage.process.log, now=stage.now, proof=""
            )
        )

    def _until_done(self, step: Callable[[], Any]) -> None:
        for _ in range(3):
            try:
                step()
            except StoreError:
                self.n_failed += 1
                continue
            return
        raise AssertionError("the fault was one, and still it does not go on")

    def remains(self) -> dict[str, list[Row]]:
        """What is there in the evening; ids are left out, since a failed try may have used one."""
        rows = self.stage.rows
        return {
            "events": rows("SELECT name, properties, count(*) FROM event WHERE name NOT LIKE "
                           "'Message%' GROUP BY name, properties ORDER BY name, properties"),
            "messages": rows("SELECT template, status, reason FROM message ORDER BY template"),
            "attempts": rows("SELECT outcome, number FROM attempt ORDER BY outcome"),
            "reports": rows("SELECT status, count(*) FROM delivery GROUP BY status"),
            "contacts": rows("SELECT withdrawn FROM contact ORDER BY address_hash"),
            "enrollments": rows("SELECT campaign, status, step FROM enrollment ORDER BY campaign"),
        }  # fmt: skip


def test_a_full_disk_at_any_write_costs_nothing_but_another_try(tmp_path: Path) -> None:
    """Statements are counted on a quiet day; then each of some, drawn at random, fails once."""
    quiet = Day(a_migrated(tmp_path / "quiet.db"))
    with full_at(quiet.stage.process.database, 0) as counting:
        quiet.live()
    expected = quiet.remains()
    quiet.stage.close()
    n_statements = counting.n_done
    chosen = random.Random(15).sample(range(1, n_statements + 1), min(N_FAULTS, n_statements))

    for n in chosen:
        day = Day(a_migrated(tmp_path / f"{n}.db"))
        with full_at(day.stage.process.database, n):
            day.live()
        assert day.n_failed == 1, f"statement {n} of {n_statements} was let pass"
        assert day.remains() == expected, f"statement {n} of {n_statements}"
        assert is_sound(day.stage.process.database)
        assert len(day.stage.email.calls) == len(quiet.stage.email.calls)
        day.stage.close()


# --- over HTTP, with SQLite's own limit -----------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    database = Database(a_migrated(tmp_path / "full.db"))
    with database.write() as connection:
        for id in PEOPLE:
            a_profile(connection, id)
            a_message(connection, id, profile=id)
    with an_app(database, tmp_path) as opened:
        yield opened
    database.close()


class Reserved:
    """A reserve of pages instead of bytes: what the file system would give back."""

    def __init__(self, services: Services, database: Database, *, pages: int) -> None:
        self._database = database
        self._pages = pages
        self.n_released = 0
        services.make_room = self.release

    def release(self) -> bool:
        if self.n_released:
            return False
        self.n_released += 1
        leave_room(self._database, pages=self._pages)
        return True


def filled(app: App) -> tuple[list[str], Any]:
    """Send events until one is refused: the ids that were acknowledged, and the refusal."""
    leave_room(app.database, pages=20)
    taken: list[str] = []
    ballast = 2_000
    for n in range(2_000):
        body = {
            "userId": "u1", "event": "Filled", "messageId": f"m{n}",
            "properties": {"ballast": "x" * ballast},
        }  # fmt: skip
        answer = app.post("/v1/track", body)
        if answer.status_code == 200:
            taken.append(f"m{n}")
        elif not ballast:
            return taken, answer
        else:
            ballast //= 2  # into the last corners
    raise AssertionError("the disk never filled")


def n_events(app: App) -> int:
    return int(app.rows("SELECT count(*) FROM event WHERE name = 'Filled'")[0][0])


def test_a_full_disk_is_503_with_a_time_and_everything_acknowledged_is_there(app: App) -> None:
    taken, refusal = filled(app)

    assert refusal.status_code == 503
    assert int(refusal.headers["Retry-After"]) >= 1
    assert "disk is full" in refusal.json()["detail"]
    assert n_events(app) == len(taken) > 0
    assert is_sound(app.database)


def test_when_there_is_room_again_it_goes_on_by_itself(app: App) -> None:
    taken, _ = filled(app)
    leave_room(app.database, pages=1_000)

    answer = app.post("/v1/track", {"userId": "u1", "event": "Filled", "messageId": "again"})

    assert answer.status_code == 200
    assert n_events(app) == len(taken) + 1
    assert is_sound(app.database)


def test_people_can_still_say_no_from_the_reserve(app: App) -> None:
    reserve = Reserved(app.services, app.database, pages=50)
    filled(app)
    # The last pages may have room for one or two without it.
    answers = [
        app.client.post(f"/u/{app.token('unsubscribe', n)}", **ONE_CLICK).status_code
        for n in PEOPLE
    ]

    assert answers == [200] * 40
    assert reserve.n_released == 1
    closed = app.rows("SELECT count(*) FROM contact WHERE withdrawn = '[\"offers\"]'")
    assert closed == [(40,)]
    assert is_sound(app.database)


def test_without_a_reserve_they_could_not(app: App) -> None:
    """The planted bug: nothing was kept for them."""
    filled(app)

    answers = {
        app.client.post(f"/u/{app.token('unsubscribe', n)}", **ONE_CLICK).status_code
        for n in PEOPLE
    }

    assert 503 in answers


def test_a_full_disk_has_a_name_of_its_own(tmp_path: Path) -> None:
    database = Database(a_migrated(tmp_path / "full.db"))
    leave_room(database, pages=0)

    with pytest.raises(DiskFull, match="nothing was committed"):  # noqa: PT012
        for n in range(100):
            with database.write() as connection:
                connection.execute(
                    "INSERT INTO setting (name, value) VALUES (?, ?)", (f"s{n}", "x" * 4_000)
                )

    assert is_sound(database)
    database.close()


# --- the reserve itself -------------------------------------------------------------------------


def test_the_reserve_is_a_file_with_blocks_of_its_own_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.db-reserve"
    reserve = Reserve(path, free_bytes_min=0, size=1_000_000)

    reserve.keep()
    kept = path.stat()
    released = [reserve.release(), reserve.release()]
    was_short = reserve.is_short
    reserve.keep()

    assert kept.st_size == 1_000_000
    assert kept.st_blocks * 512 >= 1_000_000  # not sparse: a hole would keep nothing
    assert released == [True, False]
    assert was_short
    assert not reserve.is_short
    assert path.exists()


def test_the_reserve_is_not_made_of_room_that_others_need(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", free_bytes_min=2**60)

    reserve.keep()

    assert list(tmp_path.iterdir()) == []


def test_a_database_elsewhere_has_no_reserve_of_ours() -> None:
    reserve = Reserve(None, free_bytes_min=0)

    reserve.keep()

    assert not reserve.release()
    assert not reserve.is_short


def test_a_disk_that_stays_full_for_long_parks_nobody(tmp_path: Path) -> None:
    """The count of tries, a small write, still finds room where the batch does not: poison looks
    the same, and after five tries it is parked."""
    stage = Stage(a_migrated(tmp_path / "long.db"))
    stage.identify("u1")
    stage.track("u1", "Order Completed", order="o1")

    for _ in range(12):
        with replaced((engine.ticking.tick, "write", refuse)), pytest.raises(StoreError):
            stage.tick()
    stage.settle()

    assert stage.rows("SELECT count(*) FROM parked") == [(0,)]
    assert stage.messages("receipt") == [("queued", "")]
    stage.close()


def test_the_planted_bug_of_a_disk_taken_for_poison_is_caught(tmp_path: Path) -> None:
    with planted.a_full_disk_is_poison(), pytest.raises(AssertionError):
        test_a_disk_that_stays_full_for_long_parks_nobody(tmp_path)


def refuse(*_given: Any, **_more: Any) -> None:
    raise DiskFull
