"""The promises, under seeded crashes, retries and races: see `tests/rig` and docs/promises.md.

`python -m tests.rig.soak` runs thousands of the same seeds.
"""

from collections import Counter
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from engine import failpoints
from engine.core.model.effects import Displace, Ghost, Moved
from engine.core.model.people import LedgerEntry
from engine.store.database import Database
from tests.rig import planted_journeys, soak
from tests.rig.planted import BUGS, Bug, no_dedupe_across_batches
from tests.rig.reading import calls_by_profile, features_known, loaded_people, stored_facts
from tests.rig.releasing import POINTS, Releasing
from tests.rig.replay import Life
from tests.rig.run import Verdict, corpus, run_seed
from tests.rig.world import World

N_SEEDS = 60
SEEDS_A_TEST = 10
SEEDS_A_BUG = 60
"""How many seeds a planted bug may survive."""

FOUND_AT = {
    "unenrolments_end_nobody": 58, "acknowledged_before_the_commit": 11,
    "position_before_the_effects": 8, "consent_looked_at_too_early": 8,
    "timers_overtake_events": 31, "poison_stops_the_loop": 3, "moved_at_every_release": 7,
    "starts_count_as_tries": 18, "state_before_the_timers": 9, "ambiguous_sent_again": 27,
    "a_pause_stops_nobody_at_the_door": 2, "key_changes_with_the_attempt": 5,
    "rounds_begin_anew": 4, "timers_not_armed_again": 7, "answers_are_told_again": 2,
}  # fmt: skip
"""Where the shyest bugs were found last: looked at first, to save time."""

SEEN = range(1, 17)
"""Seeds that are looked at for what happened in them."""

LIVELY = (40, 10, 59, 25, 28, 8)
"""Seeds long enough to come to a place five times."""

NOT_YET = {
    "erase commit": "met by tests/engine/test_erasing.py",
}
OF_WORLDS = sorted(failpoints.NAMES - NOT_YET.keys() - set(POINTS))


@pytest.mark.parametrize("first", range(1, N_SEEDS + 1, SEEDS_A_TEST))
def test_every_promise_holds_whatever_dies_and_whoever_repeats(first: int) -> None:
    verdicts = [run_seed(seed) for seed in range(first, first + SEEDS_A_TEST)]

    assert [it.words for it in verdicts if it.violations] == []


@pytest.mark.parametrize("seed", corpus())
def test_a_seed_that_once_failed_never_fails_again(seed: int) -> None:
    verdict = run_seed(seed)

    assert not verdict.violations, verdict.words


@pytest.mark.parametrize("bug", [*BUGS, *planted_journeys.BUGS], ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    first = FOUND_AT.get(bug.__name__, 1)
    for seed in (first, *range(1, SEEDS_A_BUG + 1)):
        if any(map(is_a_promise, run_seed(seed, bug=bug()).violations)):
            return

    pytest.fail(f"{bug.__name__} went unnoticed in {SEEDS_A_BUG} seeds")


@pytest.mark.parametrize("bug", planted_journeys.IN_RELEASING, ids=lambda bug: bug.__name__)
def test_a_bug_planted_in_a_release_is_caught(bug: Bug, tmp_path: Path) -> None:
    assert released(tmp_path / "honest") != released(tmp_path / "planted", bug=bug())


@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("name", OF_WORLDS)
def test_a_death_at_any_point_costs_nothing(name: str, nth: int) -> None:
    """The process dies once, at the n-th time it comes there, and the next goes on."""
    verdict = a_death(name, nth)

    assert verdict.world.n_crashes == 1
    assert not verdict.violations, verdict.words


def a_death(name: str, nth: int) -> Verdict:
    for seed in LIVELY:
        verdict = run_seed(seed, crash_on=(name, nth))
        if verdict.world.n_crashes:
            return verdict
    pytest.fail(f"no seed of {LIVELY} comes to {name!r} {nth} times; look for a livelier one")


@pytest.mark.parametrize("n_times", [1, 2, 5])
@pytest.mark.parametrize("name", POINTS)
def test_a_release_that_dies_at_any_point_ends_as_if_nobody_had_died(
    name: str, n_times: int, tmp_path: Path
) -> None:
    """The process dies so many times in a row at the same place."""
    undisturbed = released(tmp_path / "undisturbed")

    releasing = Releasing(tmp_path, crash_at=name, n_times=n_times)

    assert releasing.run() == undisturbed
    assert releasing.n_crashes == n_times


def released(folder: Path, *, bug: Any = None) -> dict[str, Any]:
    folder.mkdir()
    with bug or nullcontext():
        return Releasing(folder).run()


def test_every_failpoint_is_hit_but_for_those_of_later_issues(tmp_path: Path) -> None:
    hits: Counter[str] = Counter()

    for seed in SEEN:
        hits += the_world(seed).hits
    releasing = Releasing(tmp_path)
    releasing.run()

    assert set(hits) >= set(OF_WORLDS)
    assert set(releasing.hits) >= set(POINTS)
    assert set(hits) | set(releasing.hits) == failpoints.NAMES - NOT_YET.keys()


def test_the_same_seed_tells_the_same_story_twice() -> None:
    first, again = run_seed(11).world, run_seed(11).world

    assert again.hits == first.hits
    assert again.ledger.calls == first.ledger.calls
    assert again.now == first.now


def test_the_replay_notices_a_ledger_that_differs_in_a_message_alone(tmp_path: Path) -> None:
    """Ids are the same in both lives, so a difference of one of them is a finding."""
    found = []

    def looked(world: World) -> list[str]:
        database = Database(world.url)
        with database.read() as connection:
            found.extend(differences(world, connection))
        database.close()
        return []

    run_seed(2, judge=looked)

    assert len(found) >= 1
    assert all(it == ["state"] for it in found)


def differences(world: World, connection: Any) -> list[list[str]]:
    """For everybody with a ledger: the parts that differ once its last entry names another."""
    stored, loaded = stored_facts(connection), loaded_people(connection)
    found = []
    for profile_id, calls in calls_by_profile(world).items():
        ledger = loaded[profile_id].person.state.ledger if profile_id in loaded else []
        if not ledger:
            continue
        life = Life(profile_id, features_at=features_known(connection))
        for call in calls:
            life.live(call)
        assert life.facts() == stored[profile_id]
        last = life.person.state.ledger[-1]
        life.person.state.ledger[-1] = LedgerEntry(
            last.at, last.channel, last.topic, last.ghost_of, last.message + 1, last.priority
        )
        facts = life.facts()
        found.append([part for part in facts if facts[part] != stored[profile_id][part]])
    return found


def test_the_seeds_see_what_they_are_for() -> None:
    """Crashes, kills, merges, withdrawals, ambiguous calls, repeats, releases: they all happen."""
    worlds = [the_world(seed) for seed in SEEN]
    effects = Counter(
        type(effect)
        for world in worlds
        for call in world.recorder.journal
        for effect in call.effects
    )
    campaigns = {
        enrolled.campaign
        for world in worlds
        for call in world.recorder.journal
        for enrolled in call.effects
        if hasattr(enrolled, "campaign")
    }
    webhooks = [it for world in worlds for it in world.ledger.calls if it.channel == "webhook"]

    assert sum(it.n_crashes for it in worlds) > 20
    assert sum(it.recorder.n_kills for it in worlds) >= 2
    assert sum(len(it.withdrawals) for it in worlds) > 10
    assert sum(call.reply == "ambiguous" for it in worlds for call in it.ledger.calls) > 50
    assert {call.reply for call in webhooks} >= {"accepted", "refused", "ambiguous", "throttled"}
    assert sum(it.n_published for it in worlds) > 10
    assert {held.held for it in worlds for held in it.orders} == {"", "paused", "draining"}
    assert any(len(answers) for it in worlds for _, answers in it.triggers.values())
    assert effects[Moved] > 5
    assert effects[Displace] >= 1
    assert effects[Ghost] >= 1
    assert campaigns >= {"survey", "check", "birthday", "pickup", "offer", "evening"}
    assert any(it.plan.has_devices for it in worlds)


def test_the_soak_counts_what_it_found_and_its_last_line_is_the_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["soak", "--seeds", "1", "--first-seed", "1"])

    code = soak.main()
    honest = capsys.readouterr().out.splitlines()
    with no_dedupe_across_batches():
        code_of_broken = soak.main()
    broken = capsys.readouterr().out.splitlines()

    assert (code, code_of_broken) == (0, 1)
    assert honest[-1].startswith("ok: 1 seeds from 1 in ")
    assert broken[-1].startswith("BROKEN: 1 seeds from 1 in ")
    assert broken[-1].endswith("1 seeds with violations [1]")
    found = {line.split()[0]: line.split()[-1] for line in broken if line.startswith("  P2")}
    assert int(found["P2"]) > 0


@lru_cache
def the_world(seed: int) -> World:
    return run_seed(seed).world


def is_a_promise(violation: str) -> bool:
    """Whether a promise was seen broken; an error of the planted code itself does not count."""
    return violation.startswith("P") or "makes no progress" in violation
