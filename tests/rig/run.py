"""One seed from an empty database to a verdict."""

import shutil
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.store import migrate
from engine.store.database import Database
from tests.rig.invariants import check
from tests.rig.plan import Plan
from tests.rig.shop import the_shop
from tests.rig.world import World

CORPUS = Path(__file__).with_name("corpus.txt")


@dataclass(frozen=True)
class Verdict:
    """What a seed came to. `violations` is empty when every promise was kept."""

    seed: int
    violations: list[str]
    world: World

    @property
    def words(self) -> str:
        shown = "\n  ".join(self.violations[:12])
        return (
            f"seed {self.seed}: {len(self.violations)} violations\n  {shown}\n"
            f"replay: python -m tests.rig.soak --seeds 1 --first-seed {self.seed}"
        )


def run_seed(
    seed: int,
    *,
    url: str = "",
    bug: Any = None,
    crash_on: tuple[str, int] | None = None,
    judge: Callable[[World], list[str]] = check,
) -> Verdict:
    """Play one seed, on a fresh SQLite file unless another database is named.

    Args:
        bug: A context manager that plants one for the run.
        crash_on: (failpoint, n): the process dies at its n-th hit, and never else.
        judge: Asked for violations while the database is still there.
    """
    with ExitStack() as stack:
        if not url:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="antiphon-rig-")))
            shutil.copy(_template(), folder / "antiphon.db")
            url = f"sqlite:///{folder / 'antiphon.db'}"
        if bug is not None:
            # What is compiled under a bug must not outlive it, nor what was compiled without it.
            the_shop.cache_clear()
            stack.callback(the_shop.cache_clear)
            stack.enter_context(bug)
        plan = Plan.of(seed)
        if crash_on is not None:
            plan = replace(plan, crash_on=crash_on, poison=())
        world = World(url, seed, plan)
        try:
            world.run()
            violations = judge(world)
        except Exception as error:
            # An error that no part of the engine should let out is a finding as well.
            where = traceback.extract_tb(error.__traceback__)[-1]
            violations = [
                f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            ]
        return Verdict(seed, violations, world)


def corpus() -> list[int]:
    """The seeds that once failed, kept for ever."""
    lines = CORPUS.read_text().splitlines()
    return [int(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]


@lru_cache
def _template() -> Path:
    """A migrated, empty database file: migrating takes longer than most runs."""
    folder = TemporaryDirectory(prefix="antiphon-rig-")
    _kept.append(folder)
    path = Path(folder.name) / "empty.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.close()
    return path


_kept: list[TemporaryDirectory[str]] = []
