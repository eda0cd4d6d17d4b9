"""P6, P11: several workers on PostgreSQL, who pause longer than their lease and who die.

`ANTIPHON_TEST_PAUSES` makes the runs as long as wanted; the default keeps them to seconds.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.rig.crew import Crew
from tests.rig.planted import no_epoch_check

N_PAUSES = int(os.environ.get("ANTIPHON_TEST_PAUSES", "40"))


@pytest.fixture
def crew_of(
    postgres_server: Callable[..., str], postgres_template: str
) -> Iterator[Callable[..., Crew]]:
    crews: list[Crew] = []

    def make(seed: int, **given: object) -> Crew:
        url = postgres_server(template=postgres_template)
        crews.append(Crew(url, seed, **given))  # type: ignore[arg-type]
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()


@pytest.mark.slow
def test_a_worker_that_slept_through_its_lease_commits_nothing(
    crew_of: Callable[..., Crew],
) -> None:
    crew = crew_of(1, n_pauses=N_PAUSES)

    crew.run()

    assert crew.n_paused == N_PAUSES
    assert crew.n_refused > 0, "nobody ever woke up too late: nothing was tried"
    assert crew.stale_commits() == 0
    assert crew.not_played_once() == {}
    assert crew.inversions() == 0
    assert crew.merge_inversions() == 0


@pytest.mark.slow
def test_without_the_check_of_the_epoch_stale_commits_are_found(
    crew_of: Callable[..., Crew],
) -> None:
    found = 0
    for seed in range(1, 6):
        crew = crew_of(seed, n_pauses=40)
        with no_epoch_check():
            crew.run()
        found += crew.stale_commits()
        if found and crew.not_played_once():
            break

    assert found > 0
    assert crew.not_played_once() != {}


@pytest.mark.slow
def test_events_of_one_profile_are_played_in_order_whoever_dies(
    crew_of: Callable[..., Crew],
) -> None:
    crew = crew_of(2, n_pauses=N_PAUSES, kill_share=0.8, n_people=100)

    crew.run()

    assert crew.n_killed > N_PAUSES // 3
    assert crew.inversions() == 0
    assert crew.merge_inversions() == 0
    assert crew.not_played_once() == {}
    assert crew.stale_commits() == 0
    assert len(crew.rows("SELECT seq FROM event WHERE flags = 4")) > 0
