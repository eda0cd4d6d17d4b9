"""The promises, under seeded crashes, retries and races: see `tests/rig` and docs/promises.md.

`python -m tests.rig.soak` runs thousands of the same seeds.
"""

from collections import Counter
from functools import lru_cache

import pytest

from engine import failpoints
from tests.rig.planted import BUGS, Bug
from tests.rig.run import corpus, run_seed
from tests.rig.world import World

N_SEEDS = 200
SEEDS_A_TEST = 10
SEEDS_A_BUG = 60
"""How many seeds a planted bug may survive."""

SEEN = range(1, 25)
"""Seeds that are looked at for what happened in them."""

NOT_IN_THE_RIG = {
    "backfill live": "the rig's releases are built by hand; tests/engine/test_backfill.py",
    "backfill wake": "as above",
    "draft commit": "as above",
    "erase commit": "erasure comes with the privacy issue",
    "migration statement": "the rig starts from a migrated file; tests/engine/test_migrations.py",
    "release commit": "the rig's workspace is built by hand; tests/engine/test_migrate.py",
    "webhook verified": "signatures of real providers come with the channels issue",
}


@pytest.mark.parametrize("first", range(1, N_SEEDS + 1, SEEDS_A_TEST))
def test_every_promise_holds_whatever_dies_and_whoever_repeats(first: int) -> None:
    verdicts = [run_seed(seed) for seed in range(first, first + SEEDS_A_TEST)]

    assert [it.words for it in verdicts if it.violations] == []


@pytest.mark.parametrize("seed", corpus())
def test_a_seed_that_once_failed_never_fails_again(seed: int) -> None:
    verdict = run_seed(seed)

    assert not verdict.violations, verdict.words


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    for seed in range(1, SEEDS_A_BUG + 1):
        if any(map(is_a_promise, run_seed(seed, bug=bug()).violations)):
            return

    pytest.fail(f"{bug.__name__} went unnoticed in {SEEDS_A_BUG} seeds")


def test_every_failpoint_of_the_rig_is_hit_and_every_other_has_its_reason() -> None:
    hits: Counter[str] = Counter()

    for seed in SEEN:
        hits += the_world(seed).hits

    assert set(hits) == failpoints.NAMES - NOT_IN_THE_RIG.keys()


def test_the_same_seed_tells_the_same_story_twice() -> None:
    first, again = run_seed(11).world, run_seed(11).world

    assert again.hits == first.hits
    assert again.ledger.calls == first.ledger.calls
    assert again.now == first.now


def test_the_seeds_see_what_they_are_for() -> None:
    """Crashes, kills, merges, withdrawals, ambiguous calls and repeats: all of them happen."""
    worlds = [the_world(seed) for seed in SEEN]

    assert sum(it.n_crashes for it in worlds) > 20
    assert sum(it.recorder.n_kills for it in worlds) >= 5
    assert sum(len(it.withdrawals) for it in worlds) > 10
    assert sum(call.reply == "ambiguous" for it in worlds for call in it.ledger.calls) > 50
    assert sum(it.release > 1 for it in worlds) > 2
    assert any(it.plan.has_devices for it in worlds)


@lru_cache
def the_world(seed: int) -> World:
    return run_seed(seed).world


def is_a_promise(violation: str) -> bool:
    """Whether a promise was seen broken; an error of the planted code itself does not count."""
    return violation.startswith("P") or "makes no progress" in violation
