"""A life with real files: a database is brought up to date, a release prepared and made live.

The worlds of the rig play programs that were built by hand, so the boundaries of publishing are met
here: whatever dies there, the next process goes on, and it ends as if nobody had died.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine import failpoints
from engine.core.model.instants import MINUTE, SECOND
from engine.failpoints import Crash
from engine.release import drafts
from engine.store import migrate
from engine.store.database import Database
from tests.engine.backfilled_shop import Shop, some_events
from tests.rig.recorder import replaced

POINTS: Final = (
    "migration statement", "draft commit", "release commit", "backfill live", "backfill wake",
)  # fmt: skip
TURNS_MAX: Final = 500


class Releasing:
    """One shop that goes over to new definitions while life goes on, and dies on the way.

    Args:
        crash_at: A failpoint; "" for nowhere.
        n_times: How often the process dies there before it is left alone.
    """

    def __init__(self, folder: Path, *, crash_at: str = "", n_times: int = 0) -> None:
        self.hits: Counter[str] = Counter()
        self.n_crashes = 0
        self._url = f"sqlite:///{folder / 'antiphon.db'}"
        self._crash_at, self._n_times = crash_at, n_times
        self._is_spared = False

    def run(self) -> dict[str, Any]:
        """Everything that can be seen of the shop once it is over, by name."""
        failpoints.install(self._at)
        try:
            with replaced((drafts, "PROFILES_AT_ONCE", 1)):
                return self._run()
        finally:
            failpoints.install(None)

    def _run(self) -> dict[str, Any]:
        database = self._living(self._opened, lambda: None)
        self._is_spared = True
        try:
            shop = Shop(database)
            rng = random.Random("a past")
            for _ in range(10):
                shop.send(*some_events(rng, n=rng.randint(1, 6), at=shop.now))
                shop.wait(rng.choice((SECOND, MINUTE, 25 * MINUTE)))
            self._is_spared, n_meanwhile = False, 4
            self._living(shop.begin, shop.start)
            for _ in range(TURNS_MAX):
                if self._living(shop.step, shop.start):
                    if n_meanwhile:
                        n_meanwhile -= 1
                        shop.send(*some_events(rng, n=4, at=shop.now))
                        shop.tick()
                    continue
                shop.settle()
                if not shop.rows("SELECT id FROM backfill"):
                    break
                shop.now += MINUTE  # the last step waits until no process can be late
            else:
                raise AssertionError("the backfill makes no progress")
            return {
                "schema": migrate.current(database),
                "releases": shop.rows("SELECT number, digest, kind FROM release ORDER BY number"),
                "drafts": shop.rows("SELECT count(*) FROM draft"),
                "remembered": shop.remembered(),
                "journeys": shop.journeys(),
                "members": shop.members(),
            }
        finally:
            database.close()

    def _opened(self) -> Database:
        database = Database(self._url)
        try:
            migrate.upgrade(database)
        except BaseException:
            database.close()
            raise
        return database

    def _living(self, act: Callable[[], Any], start: Callable[[], Any]) -> Any:
        """Do something; after each death start the next process and try again."""
        while True:
            try:
                return act()
            except Crash:
                start()

    def _at(self, name: str) -> None:
        self.hits[name] += 1
        is_its_time = self.n_crashes < self._n_times and not self._is_spared
        if name == self._crash_at and is_its_time:
            self.n_crashes += 1
            raise Crash
